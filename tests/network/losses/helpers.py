"""Random masks, and the value of a loss."""

from __future__ import annotations

import keras
import numpy as np


def masks(count: int = 3, side: int = 8, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, side, side, 1)) > 0.6).astype(np.float32)


def value(loss: keras.losses.Loss, truth: np.ndarray, logits: np.ndarray) -> float:
    return float(loss(truth, logits.astype(np.float32)))
