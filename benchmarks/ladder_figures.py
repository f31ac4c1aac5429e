"""Figures of the ladder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

from benchmarks.effects import SEED, effects

mpl.use("agg")
Rows = list[dict[str, Any]]
"""Of ``results/ladder.json``, ordered by experiment."""
COLOURS = {"gain": "#2a78d6", "none": "#888888", "loss": "#c2410c"}
OTHERS = (720_000, 0.852)
"""Tiles seen in a fold by the best published network without pretrained weights, and its public score."""


def draw_scores(rows: Rows, path: Path) -> None:
    """Draw the score of each rung with its interval, coloured by the effect against its base."""
    shown, against = [row for row in rows if not SEED.search(row["experiment"])], effects(rows)
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.3 * len(shown)), layout="constrained")
    for place, row in enumerate(reversed(shown)):
        effect = against.get(row["experiment"])
        colour = COLOURS[effect.verdict] if effect else "#222222"
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.2, alpha=0.5)
        axes.plot(row["cv"], place, "o", color=colour)
        axes.text(row["high"] + 0.004, place, f"{row['cv']:.3f}", va="center", fontsize=8, color=colour)
    axes.set_yticks(range(len(shown)), [row["experiment"] for row in reversed(shown)], fontsize=8)
    axes.set(xlabel="cross-fitted CV, with its 95 % interval over tiles", title="What helps, on fold 0")
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    handles = [
        pyplot.Line2D([], [], marker="o", linestyle="", color=colour, label=label)
        for colour, label in zip(COLOURS.values(), ("a gain", "within two standard errors", "a loss"), strict=True)
    ]
    axes.legend(handles=handles, title="against its base", fontsize=8, loc="lower left", frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def draw_views(rows: Rows, path: Path) -> None:
    """Draw CV against the tiles seen in training; the ends of the ladder and what has no base are named."""
    figure, axes = pyplot.subplots(figsize=(8, 4.6), layout="constrained")
    steps = [row for row in rows if row["experiment"].startswith("ladder-") and not SEED.search(row["experiment"])]
    for row in rows:
        if not row["base"] or row in (*steps[:1], *steps[-1:]):
            seen, score = views(row), row["cv"]
            axes.plot([seen, seen], [row["low"], row["high"]], color=COLOURS["gain"], zorder=3)
            axes.plot(seen, score, "o", color=COLOURS["gain"], zorder=3)
            axes.annotate(f"{row['experiment']}, {score:.3f}", (seen, score), (8, -3), textcoords="offset points")
        else:
            axes.plot(views(row), row["cv"], "o", color=COLOURS["none"], alpha=0.5)
    axes.plot(*OTHERS, "D", markerfacecolor="none", color="#222222")
    axes.annotate(
        f"best published network without\npretrained weights, {OTHERS[1]:.3f} public",
        OTHERS,
        (-10, 8),
        textcoords="offset points",
        horizontalalignment="right",
    )
    axes.set_xscale("log")
    axes.set_xlim(15_000, 1_000_000)
    axes.set_ylim(top=0.92)
    ticks = [20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000]
    axes.set_xticks(ticks, [f"{each:,}" for each in ticks])
    axes.minorticks_off()
    axes.set(xlabel="tiles that a network has seen in training", ylabel="cross-fitted CV")
    axes.set_title("Score against length of training")
    axes.grid(alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    handles = [
        pyplot.Line2D([], [], marker="o", linestyle="", color=COLOURS["none"], label="other rungs and parts"),
        pyplot.Line2D([], [], marker="o", color=COLOURS["gain"], label="with its 95 % interval over tiles"),
    ]
    axes.legend(handles=handles, loc="lower right", frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def views(row: dict[str, Any]) -> int:
    """Tiles that the network of a fold has seen in training."""
    folds = len(row["folds"])
    return round(row["epochs"] / folds * (row["of"] - row["tiles"] / folds))
