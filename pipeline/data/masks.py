"""Properties of masks that preparation records."""

from __future__ import annotations

import numpy as np


def is_vertical(masks: np.ndarray) -> np.ndarray:
    """Return which masks consist of vertical bands, as some masks of the competition do.

    Args:
        masks: (n, height, width) uint8 of 0 and 1, may be memory-mapped.

    Returns:
        (n,) bool: the mask has pixels with and without salt, and every column is all salt or has none.
    """
    first_rows = masks[:, :1, :]  # (n, 1, width)
    bands = np.array([(mask == mask[0]).all() for mask in masks], bool)
    return bands & (first_rows.min(axis=(1, 2)) != first_rows.max(axis=(1, 2)))
