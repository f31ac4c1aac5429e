"""Losses made of others: weighted sums, and the loss of a network with several outputs."""

from __future__ import annotations

import keras
from keras import ops

from pipeline.config import NetworkSettings
from pipeline.network.layers import Tensor
from pipeline.network.losses.pointwise import crossentropy


class WeightedSum(keras.losses.Loss):
    """A weighted sum of losses, per tile: (batch,).

    Args:
        terms: pairs of weight and loss.
        name: of the sum.
    """

    def __init__(self, terms: list[tuple[float, keras.losses.Loss]], name: str) -> None:
        super().__init__(name=name)
        self.terms = terms

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return sum(weight * _per_tile(loss.call(y_true, y_pred)) for weight, loss in self.terms)


class MultiOutputLoss(keras.losses.Loss):
    """The loss of the mask plus the weighted losses of the network's auxiliary outputs; per tile, (batch,).

    ``y_pred`` is (batch, h, w, channels): the logits of the mask; then, with an empty-tile head, the logit that the
    tile contains salt, the same at each pixel; then, with deep supervision, the mask's logits of each coarser level,
    upsampled. Of the first coarser level every second pixel counts, of the next every fourth, and so on: the level has
    no more information, and sorting all pixels for its Lovász hinge would take longer than the level itself.

    Args:
        loss: of a mask.
        network: ``empty_head`` and ``deep_supervision`` are the weights of the auxiliary losses. With
            ``deep_supervision_tiles = "salt"`` a tile without salt has no loss of the coarser levels.
    """

    def __init__(self, loss: keras.losses.Loss, network: NetworkSettings) -> None:
        super().__init__(name=loss.name)
        self.loss, self.network = loss, network

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        total = _per_tile(self.loss.call(y_true, y_pred[..., :1]))
        salt = ops.cast(ops.max(y_true, axis=(1, 2, 3)) > 0.5, "float32")
        coarser = 1
        if self.network.empty_head:
            coarser = 2
            tile = ops.cast(ops.mean(y_pred[..., 1], axis=(1, 2)), "float32")
            total = total + self.network.empty_head * crossentropy(salt, tile)
        if self.network.deep_supervision:
            tiles = salt if self.network.deep_supervision_tiles == "salt" else 1.0
            for number, channel in enumerate(range(coarser, y_pred.shape[-1]), start=1):
                step = 2**number
                level = self.loss.call(y_true[:, ::step, ::step], y_pred[:, ::step, ::step, channel : channel + 1])
                total = total + self.network.deep_supervision * tiles * _per_tile(level)
        return total


def _per_tile(values: Tensor) -> Tensor:
    return ops.mean(values, axis=(1, 2)) if len(values.shape) == 3 else values
