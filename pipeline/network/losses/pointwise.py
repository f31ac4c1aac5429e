"""Losses of single pixels: cross-entropy and focal loss."""

from __future__ import annotations

import keras
from keras import ops

from pipeline.network.layers import Tensor


class BinaryCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of each pixel, from logits; (batch, h, w)."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return crossentropy(*without_channel(y_true, y_pred))


class Focal(keras.losses.Loss):
    """Focal loss of each pixel (Lin et al. 2017, https://arxiv.org/abs/1708.02002), from logits; (batch, h, w).

    Args:
        gamma: how strongly pixels that are already correct are down-weighted; 0 is cross-entropy.
    """

    def __init__(self, gamma: float = 2.0, name: str = "focal") -> None:
        super().__init__(name=name)
        self.gamma = gamma

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        truth, logits = without_channel(y_true, y_pred)
        probability = ops.sigmoid(logits)
        wrong = truth * (1 - probability) + (1 - truth) * probability
        return ops.power(wrong, self.gamma) * crossentropy(truth, logits)


def crossentropy(truth: Tensor, logits: Tensor) -> Tensor:
    """Binary cross-entropy from logits, element by element."""
    # max(z, 0) - z y + log(1 + exp(-|z|)) never overflows.
    return ops.relu(logits) - logits * truth + ops.log1p(ops.exp(-ops.abs(logits)))


def without_channel(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Truth and logits, (batch, h, w, 1) -> (batch, h, w) float32."""
    return ops.cast(ops.squeeze(y_true, -1), "float32"), ops.cast(ops.squeeze(y_pred, -1), "float32")
