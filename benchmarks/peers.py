"""Other implementations for comparison, written here in the usual way, not copied."""

from __future__ import annotations

from types import ModuleType

import numpy as np


def usual_search(probabilities: np.ndarray, truth: np.ndarray, thresholds: np.ndarray, areas: list[int]) -> float:
    """The best score, found as in most public kernels: a histogram for each tile, threshold and area.

    Args:
        probabilities: (n, 101, 101) uint8, v for v / 255.
        truth: (n, 101, 101) uint8 0/1.
        thresholds: of the probability.
        areas: smallest areas in pixels.
    """
    best = 0.0
    levels = np.arange(0.5, 1.0, 0.05)
    for threshold in thresholds:
        for area in areas:
            scores = []
            for chance, mask in zip(probabilities, truth, strict=True):
                predicted = chance / 255 > threshold
                if predicted.sum() < area:
                    predicted[:] = False
                if not mask.any() or not predicted.any():
                    scores.append(float(mask.any() == predicted.any()))
                    continue
                table, _, _ = np.histogram2d(
                    mask.ravel(), predicted.ravel().astype(np.uint8), bins=2, range=((0, 1), (0, 1))
                )
                iou = table[1, 1] / (table.sum() - table[0, 0])
                scores.append(float(np.mean([iou > level for level in levels])))
            best = max(best, float(np.mean(scores)))
    return best


def pycocotools() -> ModuleType | None:
    """pycocotools' module of run-length codes, where it is installed (make bench installs it)."""
    try:
        from pycocotools import mask
    except ImportError:
        return None
    return mask
