"""Figures of the reports, by matplotlib: readable on a phone, in colours that colour-blind readers can tell apart."""

from __future__ import annotations

import io
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
"""Holds for these figures only: whoever imports this module keeps their own style."""
# Okabe and Ito's palette.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#F0E442")
SIZE = (4.6, 3.1)
"""Inches of one figure: as wide as a phone, so that nothing is shrunk there."""


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
    """How often a pixel is salt, against the probability that it was given.

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


def tiles_picture(
    images: np.ndarray, truth: np.ndarray | None, found: np.ndarray | None, threshold: float, titles: Sequence[str]
) -> bytes:
    """Tiles in columns, as PNG: image, truth, prediction, and where the two differ.

    Args:
        images: (n, 101, 101) uint8 grey values.
        truth: (n, 101, 101) 0/1, or None where nobody knows.
        found: (n, 101, 101) uint8 probabilities, v stands for v / 255, or None.
        threshold: where a probability counts as salt.
        titles: of the tiles.
    """
    rows = ["image"]
    rows += ["truth"] if truth is not None else []
    rows += ["prediction"] if found is not None else []
    rows += ["difference"] if truth is not None and found is not None else []
    figure = Figure(figsize=(1.5 * len(images) + 0.6, 1.6 * len(rows) + 0.4), layout="constrained")
    panels = figure.subplots(len(rows), len(images), squeeze=False)
    for column, image in enumerate(images):
        mask = truth[column] > 0 if truth is not None else None
        chance = found[column] / 255 if found is not None else None
        for row, name in enumerate(rows):
            _panel(panels[row, column], name, image, mask, chance, threshold)
        panels[0, column].set_title(titles[column], fontsize=8)
    for row, label in enumerate(rows):
        panels[row, 0].set_ylabel(label)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90)
    return stream.getvalue()


def _panel(
    axes: Any, name: str, image: np.ndarray, mask: np.ndarray | None, chance: np.ndarray | None, threshold: float
) -> None:
    if name == "prediction":
        axes.imshow(chance, cmap="cividis", vmin=0, vmax=1)
    else:
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    if name == "difference" and mask is not None and chance is not None:
        cut = chance > threshold
        # What was missed and what was invented, over the image.
        colours = np.zeros((*image.shape, 4))
        colours[mask & ~cut] = (*mpl.colors.to_rgb(COLOURS[4]), 0.75)
        colours[cut & ~mask] = (*mpl.colors.to_rgb(COLOURS[5]), 0.75)
        axes.imshow(colours)
    elif name in ("truth", "prediction") and mask is not None:
        _outline(axes, mask, COLOURS[4])
    if name == "prediction" and chance is not None:
        _outline(axes, chance > threshold, "white")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)


def _outline(axes: Any, mask: np.ndarray, colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.6)
    elif mask.all():
        side = (mask.shape[1] - 1, mask.shape[0] - 1)
        axes.add_patch(mpl.patches.Rectangle((0, 0), *side, fill=False, edgecolor=colour, linewidth=3))


def _axes() -> tuple[Figure, Any]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        return figure, figure.subplots()
