"""How confident a network is in its masks of unlabelled tiles."""

from __future__ import annotations

import numpy as np

from pipeline.scoring import thresholding


def most_confident(probabilities: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Select the tiles whose predicted masks are the most confident.

    The confidence of a tile with salt is the IoU expected for its mask; that of an empty tile falls with the salt that
    is expected in it. The share is taken from each of the two kinds separately: the most confident of all tiles
    together would be those from which there is the least to learn.

    Args:
        probabilities: (n, height, width) uint8, v stands for v / 255.
        share: of the tiles that is selected.

    Returns:
        Indices of the selected tiles, ascending, (kept,) int, and their masks, (kept, height, width) uint8 0/1.
    """
    masks = thresholding.apply(probabilities, 0.5, 0)
    inside = np.where(masks, probabilities, 0).sum(axis=(1, 2), dtype=np.float64)
    outside = probabilities.sum(axis=(1, 2), dtype=np.float64) - inside
    area = masks.sum(axis=(1, 2))
    confidence = np.where(area > 0, inside / np.maximum(255 * area + outside, 1), -outside)
    kept = []
    for kind in (np.flatnonzero(area > 0), np.flatnonzero(area == 0)):
        order = kind[np.argsort(-confidence[kind], kind="stable")]
        kept.append(order[: int(share * len(kind))])
    rows = np.sort(np.concatenate(kept))
    return rows, masks[rows].astype(np.uint8)
