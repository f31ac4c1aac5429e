"""Properties of input images that preparation records and post-processing uses."""

from __future__ import annotations

import numpy as np


def is_constant(images: np.ndarray) -> np.ndarray:
    """Return which images have a single grey value.

    Args:
        images: (n, height, width) uint8, may be memory-mapped.

    Returns:
        (n,) bool.
    """
    return images.min(axis=(1, 2)) == images.max(axis=(1, 2))
