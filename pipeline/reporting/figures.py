"""Figures of the reports, by matplotlib: readable on a phone, in colours that colour-blind readers can distinguish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.reporting.palette import COLOURS, NAMES

INK = "#123456"
"""Stands for the text's colour, which the page replaces by ``currentColor``."""
STYLE = {
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "legend.frameon": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.15,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Applies to these figures only, not to those of a program that imports this module."""
CSS_COLOURS = {INK: "currentColor"} | {colour: f"var(--{name})" for colour, name in zip(COLOURS, NAMES, strict=True)}
"""What a page writes for a figure's colours; ``templates/base.html.j2`` defines the variables for light and dark."""
SIZE = (4.6, 3.1)
"""Of one figure in inches: as wide as a phone, so that its text keeps its size there."""
BLUE, RED, GREY = COLOURS[0], COLOURS[1], COLOURS[6]


def learning_curve(
    histories: dict[int, list[dict[str, str]]],
    key: str,
    label: str,
    best: dict[int, int] | None = None,
    late: int | None = None,
    nothing: float | None = None,
) -> Figure:
    """One column of the folds' histories over epochs, a line per fold.

    Args:
        histories: rows of each fold's ``history.csv``.
        key: the column.
        label: of the vertical axis.
        best: epoch of each fold that is marked by a star.
        late: the first epoch with the late loss.
        nothing: score of predicting nothing.
    """
    figure, axes = _axes()
    for index, (fold, rows) in enumerate(histories.items()):
        colour = COLOURS[index % len(COLOURS)]
        values = {int(row["epoch"]): float(row[key]) for row in rows}
        axes.plot(*zip(*values.items(), strict=True), color=colour, label=f"fold {fold}", marker=".", markersize=4)
        top = (best or {}).get(fold)
        if top in values:
            axes.plot([top], [values[top]], color=colour, marker="*", markersize=13, linestyle="none")
    if late is not None:
        axes.axvline(late - 0.5, color=RED, linestyle="--", linewidth=1.2, label="late loss")
    if nothing is not None:
        axes.axhline(nothing, color=GREY, linestyle=":", label="predicting nothing")
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False, labelcolor=INK)
    return figure


def threshold_curve(thresholds: Sequence[float], scores: Sequence[float], chosen: float) -> Figure:
    """Score on out-of-fold predictions against the threshold."""
    figure, axes = _axes()
    axes.plot(thresholds, scores, color=BLUE)
    axes.axvline(chosen, color=RED, linestyle="--", label=f"chosen: {chosen:.3f}")
    axes.set(xlabel="threshold", ylabel="score")
    axes.legend(labelcolor=INK, frameon=False, fontsize=9)
    return figure


def reliability(probabilities: np.ndarray, truth: np.ndarray, bins: int = 10) -> Figure:
    """How often a pixel is salt, against its predicted probability.

    Args:
        probabilities: (n, height, width) uint8, v stands for v / 255.
        truth: (n, height, width) 0/1.
        bins: of equal width.
    """
    pixels = np.bincount(probabilities.ravel(), minlength=256)
    salt = np.bincount(probabilities[truth > 0].ravel(), minlength=256)
    place = np.minimum(np.arange(256) * bins // 256, bins - 1)
    total = np.bincount(place, pixels, bins)
    mean = np.bincount(place, pixels * np.arange(256) / 255, bins)
    often = np.bincount(place, salt, bins)
    seen = total > 0
    figure, axes = _axes()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="calibrated")
    axes.plot(mean[seen] / total[seen], often[seen] / total[seen], color=BLUE, marker="o", label="measured")
    axes.set(xlabel="predicted probability", ylabel="share that is salt", xlim=(0, 1), ylim=(0, 1))
    axes.legend(labelcolor=INK, frameon=False, fontsize=9)
    return figure


def against_leaderboard(points: Sequence[tuple[str, float, float]]) -> Figure:
    """Cross-validated score against the leaderboard's, a point per experiment.

    Args:
        points: (experiment, CV, score).
    """
    figure, axes = _axes()
    cv, score = [each[1] for each in points], [each[2] for each in points]
    low, high = min(*cv, *score), max(*cv, *score)
    margin = max(0.01, 0.1 * (high - low))
    low, high = low - margin, high + margin
    axes.plot([low, high], [low, high], color=GREY, linestyle=":", label="equal")
    axes.scatter(cv, score, color=BLUE, zorder=3)
    for name, x, y in points:
        # Away from the line, and within the figure.
        side, along = (4, "bottom") if y >= x else (-4, "top")
        near, place = (5, "left") if x < low + 0.7 * (high - low) else (-5, "right")
        offset = {"textcoords": "offset points", "xytext": (near, side), "ha": place, "va": along}
        axes.annotate(name, (x, y), fontsize=9, color=INK, **offset)
    axes.set(xlabel="CV", ylabel="score on the test tiles")
    axes.legend(labelcolor=INK, frameon=False, fontsize=9, loc="best")
    return figure


def _axes() -> tuple[Figure, Any]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        # Ticks are created later, without this style.
        axes.tick_params(colors=INK)
        axes.grid(color=INK, alpha=STYLE["grid.alpha"])
        return figure, axes
