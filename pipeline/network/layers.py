"""Keras layers that Keras does not have."""

from __future__ import annotations

from typing import TypeAlias

import keras

Tensor: TypeAlias = keras.KerasTensor


class Coordinates(keras.layers.Layer):
    """The row and column of each pixel, from -1 to 1 (CoordConv, Liu et al. 2018, https://arxiv.org/abs/1807.03247).

    (batch, h, w, c) -> (batch, h, w, 2).
    """

    def call(self, inputs: Tensor) -> Tensor:
        height, width = inputs.shape[1:3]
        # Adding zeros made from the input gives the output the input's batch size.
        zeros = inputs[..., :1] * 0
        rows = keras.ops.reshape(keras.ops.linspace(-1.0, 1.0, height), (1, height, 1, 1))
        columns = keras.ops.reshape(keras.ops.linspace(-1.0, 1.0, width), (1, 1, width, 1))
        return keras.ops.concatenate([zeros + keras.ops.cast(each, zeros.dtype) for each in (rows, columns)], axis=-1)


class Gate(keras.layers.Layer):
    """Lowers the mask's logits of a tile that the empty-tile head takes for empty.

    At prediction, a negative logit of the tile is added to the logit of each of its pixels. In training the mask's
    logits pass unchanged: a closed gate would also block their gradient.

    Takes the logits of the mask (batch, h, w, 1) and of the tile (batch, 1, 1, 1); returns (batch, h, w, 1).
    """

    def call(self, inputs: list[Tensor], training: bool | None = None) -> Tensor:
        mask, tile = inputs
        return mask if training else mask + keras.ops.minimum(tile, 0.0)
