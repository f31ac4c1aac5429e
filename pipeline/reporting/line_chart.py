"""Line charts as SVG for a page that is drawn many times: drawn by a template, in a hundredth of matplotlib's time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.reporting.palette import NAMES

WIDTH, HEIGHT = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 56, 448, 12, 248
"""Edges of the area in which lines are drawn, in units of the SVG."""


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    name: str
    colour: str
    """CSS variable of the page, without the dashes."""
    path: str
    """Of an SVG path: through all points."""
    dots: str
    """Of an SVG path: a stroke without length at each point."""
    star: tuple[float, float] | None
    """Where a star is drawn."""


@dataclass(frozen=True)
class Chart:
    """What ``templates/macros.html.j2`` draws (``line_chart``), in units of the SVG."""

    caption: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    late: float | None
    """Where a vertical dashed line is."""
    level: float | None
    """Where a horizontal dotted line is."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def line_chart(
    curves: Mapping[int, Sequence[tuple[int, float]]],
    caption: str,
    epochs: int,
    best: Mapping[int, int] | None = None,
    late: int | None = None,
    level: float | None = None,
) -> Chart:
    """Lay out a line per fold over epochs.

    Args:
        curves: points (epoch, value) of each fold; a value that is not finite is left out.
        caption: below the chart.
        epochs: last epoch of the horizontal axis.
        best: epoch of each fold that has a star.
        late: the first epoch with another loss, marked by a dashed line before it.
        level: a value that is marked by a dotted line.
    """
    points = {fold: [each for each in curve if math.isfinite(each[1])] for fold, curve in curves.items()}
    values = [value for curve in points.values() for _, value in curve] + ([] if level is None else [level])
    y_ticks = ticks(min(values, default=0.0), max(values, default=1.0), 6)
    low, high = y_ticks[0], y_ticks[-1]
    decimals = max(0, -math.floor(math.log10(y_ticks[1] - y_ticks[0]) + 1e-9))

    def x(epoch: float) -> float:
        return round(LEFT + (epoch - 0.5) / epochs * (RIGHT - LEFT), 1)

    def y(value: float) -> float:
        return round(BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP), 1)

    lines = []
    for index, (fold, curve) in enumerate(points.items()):
        at = {epoch: (x(epoch), y(value)) for epoch, value in curve}
        lines.append(
            Line(
                name=f"fold {fold}",
                colour=NAMES[index % len(NAMES)],
                path="M" + "L".join(f"{right} {down}" for right, down in at.values()) if at else "",
                dots="".join(f"M{right} {down}h0" for right, down in at.values()),
                star=at.get((best or {}).get(fold, 0)),
            )
        )
    every = max(1, round(ticks(0, epochs, 7)[1]))
    return Chart(
        caption=caption,
        lines=lines,
        x_ticks=[(x(epoch), str(epoch)) for epoch in range(1, epochs + 1) if epoch % every == 0],
        y_ticks=[(y(value), f"{value:.{decimals}f}") for value in y_ticks],
        late=None if late is None else x(late - 0.5),
        level=None if level is None else y(level),
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``, two or more, about ``most`` of them at most."""
    if high <= low:
        low, high = low - 0.05, low + 0.05
    least = (high - low) / (most - 1)
    size = 10.0 ** math.floor(math.log10(least))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]
