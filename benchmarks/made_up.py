"""Synthetic masks, predictions and surveys."""

from __future__ import annotations

import numpy as np


def masks(count: int, seed: int = 0) -> np.ndarray:
    """(count, 101, 101) uint8: 39 % empty, the others salt below a random curve."""
    draw = np.random.default_rng(seed)
    columns, rows = np.arange(101), np.arange(101)[:, None]
    found = np.zeros((count, 101, 101), np.uint8)
    for index in np.flatnonzero(draw.random(count) > 0.39):
        top = 50 + 40 * np.sin(columns / draw.uniform(8, 40) + draw.uniform(0, 6)) + draw.normal(0, 20)
        found[index] = rows > top
    return found


def images(masks: np.ndarray, seed: int = 1) -> np.ndarray:
    """Grey tiles of masks: (n, 101, 101) uint8. Used as probabilities, they are a plausible prediction."""
    noise = np.random.default_rng(seed).normal(0, 45, masks.shape).astype(np.float32)
    return np.clip(70 + 115 * masks + noise, 0, 255).astype(np.uint8)
