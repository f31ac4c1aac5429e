"""Pictures of tiles: image, truth, prediction, and their difference."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

MISSED, INVENTED = "#E69F00", "#56B4E9"
"""Colours of salt that was not predicted and of predicted salt that is none, from Okabe and Ito's palette."""


_GAP = 4
"""Pixels between panels."""


def panels(image: np.ndarray, truth: np.ndarray, found: np.ndarray, mask: np.ndarray) -> bytes:
    """Draw one tile in three panels: image, probability, and where mask and truth differ.

    Args:
        image: (101, 101) uint8 grey values.
        truth: (101, 101) 0/1.
        found: (101, 101) uint8 probabilities, v stands for v / 255.
        mask: (101, 101) bool, the predicted mask.

    Returns:
        A PNG.
    """
    grey, true = np.repeat(image[..., None], 3, axis=2), truth > 0
    chance = (mpl.colormaps["cividis"](found)[..., :3] * 255).astype(np.uint8)
    chance[_border(mask)] = 255
    chance[_border(true)] = _rgb(MISSED)
    differs = grey.copy()
    for colour, pixels in ((MISSED, true & ~mask), (INVENTED, mask & ~true)):
        differs[pixels] = (0.3 * differs[pixels] + 0.7 * _rgb(colour)).astype(np.uint8)
    gap = np.zeros((len(grey), _GAP, 4), np.uint8)  # transparent
    parts = [np.dstack([each, np.full(each.shape[:2], 255, np.uint8)]) for each in (grey, chance, differs)]
    row = np.hstack([parts[0], gap, parts[1], gap, parts[2]])
    return bytes(cv2.imencode(".png", cv2.cvtColor(row, cv2.COLOR_RGBA2BGRA))[1])


def _border(mask: np.ndarray) -> np.ndarray:
    """The outermost pixels of a mask; the edge of the tile counts as outside."""
    return mask & ~cv2.erode(np.pad(mask, 1).astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1].astype(bool)


def _rgb(colour: str) -> np.ndarray:
    return np.round(np.array(mpl.colors.to_rgb(colour)) * 255)


def tiles_picture(
    images: np.ndarray, truth: np.ndarray | None, found: np.ndarray | None, threshold: float, titles: Sequence[str]
) -> bytes:
    """Draw tiles in columns: image, truth, prediction, and where the two differ.

    Args:
        images: (n, 101, 101) uint8 grey values.
        truth: (n, 101, 101) 0/1, or None where unknown.
        found: (n, 101, 101) uint8 probabilities, v stands for v / 255, or None.
        threshold: a pixel is salt when its probability is above it.
        titles: of the tiles.

    Returns:
        A PNG.
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
        colours[mask & ~cut] = (*mpl.colors.to_rgb(MISSED), 0.75)
        colours[cut & ~mask] = (*mpl.colors.to_rgb(INVENTED), 0.75)
        axes.imshow(colours)
    elif name in ("truth", "prediction") and mask is not None:
        _outline(axes, mask, MISSED)
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
