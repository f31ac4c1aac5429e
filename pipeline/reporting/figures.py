"""Figures of the reports, by matplotlib: readable on a phone, in colours that colour-blind readers can distinguish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

STYLE = {
    "font.size": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Applies to these figures only, not to those of a program that imports this module."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#F0E442")
"""Okabe and Ito's palette."""
SIZE = (4.6, 3.1)
"""Of one figure in inches: as wide as a phone, so that its text keeps its size there."""


def learning_curve(histories: dict[int, list[dict[str, str]]], key: str, label: str) -> Figure:
    """One column of the folds' histories over epochs, a line per fold.

    Args:
        histories: rows of each fold's ``history.csv``.
        key: the column.
        label: what it is.
    """
    figure, axes = _axes()
    for index, (fold, rows) in enumerate(histories.items()):
        epochs, values = [int(row["epoch"]) for row in rows], [float(row[key]) for row in rows]
        axes.plot(epochs, values, color=COLOURS[index % len(COLOURS)], label=f"fold {fold}", marker=".")
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    if len(histories) > 1:
        axes.legend(fontsize=9)
    return figure


def threshold_curve(thresholds: Sequence[float], scores: Sequence[float], chosen: float) -> Figure:
    """Score on out-of-fold predictions against the threshold."""
    figure, axes = _axes()
    axes.plot(thresholds, scores, color=COLOURS[0])
    axes.axvline(chosen, color=COLOURS[1], linestyle="--", label=f"chosen: {chosen:.3f}")
    axes.set(xlabel="threshold", ylabel="score")
    axes.legend(fontsize=9)
    return figure


def bars(groups: Sequence[tuple[str, float, int]], label: str) -> Figure:
    """Mean score of groups of tiles.

    Args:
        groups: (name, mean score, number of tiles).
        label: what the groups are.
    """
    figure, axes = _axes()
    axes.bar([f"{name}\nn={count}" for name, _, count in groups], [score for _, score, _ in groups], color=COLOURS[0])
    for place, (_, score, _) in enumerate(groups):
        axes.text(place, score, f"{score:.2f}", ha="center", va="bottom", fontsize=9)
    axes.set(ylabel="score", xlabel=label, ylim=(0, 1.1))
    axes.tick_params(axis="x", labelsize=8)
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
    axes.plot([0, 1], [0, 1], color="#888888", linestyle=":", label="as it should be")
    axes.plot(mean[seen] / total[seen], often[seen] / total[seen], color=COLOURS[0], marker="o", label="measured")
    axes.set(xlabel="predicted probability", ylabel="share that is salt", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=9)
    return figure


def confusion(counts: np.ndarray) -> Figure:
    """Tiles by whether they hold salt: rows by truth and columns by prediction, without salt first."""
    figure, axes = _axes()
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for row in range(2):
        share = counts[row] / max(counts[row].sum(), 1)
        for column in range(2):
            colour = "white" if share[column] > 0.5 else "black"
            text = f"{counts[row, column]:,}\n{share[column]:.0%}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=12)
    names = ("empty", "salt")
    axes.set(xticks=(0, 1), xticklabels=names, yticks=(0, 1), yticklabels=names, xlabel="predicted", ylabel="truth")
    axes.grid(visible=False)
    return figure


def fold_balance(values: Sequence[np.ndarray], folds: Sequence[int], label: str) -> Figure:
    """A box for each fold over one property of its tiles."""
    figure, axes = _axes()
    axes.boxplot(
        list(values),
        tick_labels=[str(fold) for fold in folds],
        showmeans=True,
        medianprops={"color": COLOURS[1]},
        meanprops={"marker": "D", "markerfacecolor": COLOURS[0], "markeredgecolor": COLOURS[0], "markersize": 5},
        flierprops={"markersize": 2},
    )
    axes.set(xlabel="fold", ylabel=label)
    return figure


def against_leaderboard(points: Sequence[tuple[str, float, float]]) -> Figure:
    """Cross-validated score against the leaderboard's, a point per experiment.

    Args:
        points: (experiment, CV, score).
    """
    figure, axes = _axes()
    cv, score = [each[1] for each in points], [each[2] for each in points]
    low, high = min(*cv, *score) - 0.01, max(*cv, *score) + 0.01
    axes.plot([low, high], [low, high], color="#888888", linestyle=":", label="equal")
    axes.scatter(cv, score, color=COLOURS[0], zorder=3)
    for name, x, y in points:
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(5, 4), fontsize=9)
    axes.set(xlabel="CV", ylabel="score on the test tiles")
    axes.legend(fontsize=9, loc="lower right")
    return figure


def _axes() -> tuple[Figure, Any]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        return figure, figure.subplots()
