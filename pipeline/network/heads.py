"""What comes after the expansive path: hypercolumn, empty-tile head and deep supervision."""

from __future__ import annotations

import keras

from pipeline.config import NetworkSettings
from pipeline.network.layer_factory import LayerFactory
from pipeline.network.layers import Gate, Tensor

TILE_DROPOUT = 0.5
"""Dropout rate of the pooled features that the empty-tile head reads."""


def hypercolumn(factory: LayerFactory, settings: NetworkSettings, levels: list[Tensor], width: int) -> Tensor:
    """All levels of the expansive path at the size of the finest (Hariharan et al. 2015, https://arxiv.org/abs/1411.5752).

    The coarser levels are reduced to ``width`` channels before they are upsampled, while they are still small.

    Args:
        factory: of the network's layers.
        settings: ``hypercolumn_join``, ``hypercolumn_dropout``.
        levels: (batch, h / 2**k, w / 2**k, channels), coarse to fine; the finest has ``width`` channels.
        width: channels of the output.

    Returns:
        (batch, h, w, width).
    """
    *coarser, finest = levels
    columns = [finest]
    for number, x in enumerate(reversed(coarser), start=2):
        x = factory.convolution(x, width, f"column{number}", kernel=1)
        factor = finest.shape[1] // x.shape[1]
        columns.append(keras.layers.UpSampling2D(factor, interpolation="bilinear", name=f"column{number}_upsample")(x))
    if len(columns) > 1 or settings.hypercolumn_join == "concatenate":
        join = keras.layers.Add if settings.hypercolumn_join == "add" else keras.layers.Concatenate
        finest = join(name="columns")(columns)
    x = factory.dropout(finest, (settings.hypercolumn_dropout,), 0, "columns_dropout")
    return factory.convolution(x, width, "columns_merge")


def tile_features(factory: LayerFactory, bottom: Tensor, channels: int) -> Tensor:
    """Features of the whole tile, from its coarsest features: (b, h, w, c) -> (b, 1, 1, channels).

    For ``network.empty_gate = "features"``: the empty-tile head and, at each pixel, the mask's last convolution read
    them, as in networks of the competition's winners. What the head learns reaches the mask by trained weights.
    """
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="tile_pool")(bottom)
    x = keras.layers.Dropout(TILE_DROPOUT, seed=factory.next_seed(), name="tile_dropout")(x)
    return keras.layers.Dense(
        channels, activation="relu", kernel_initializer=factory.initializer(), name="tile_features"
    )(x)


def concatenate_tile(x: Tensor, tile: Tensor) -> Tensor:
    """Append features of the tile to those of each pixel: (b, h, w, c) and (b, 1, 1, d) -> (b, h, w, c + d)."""
    everywhere = keras.layers.UpSampling2D(x.shape[1], name="tile_everywhere")(tile)
    return keras.layers.Concatenate(name="with_tile")([x, everywhere])


def with_auxiliary_outputs(
    factory: LayerFactory,
    settings: NetworkSettings,
    logits: Tensor,
    bottom: Tensor,
    levels: list[Tensor],
    tile: Tensor | None = None,
) -> Tensor:
    """Append the outputs that only the loss reads as further channels (see ``losses.combined.MultiOutputLoss``).

    Args:
        factory: of the network's layers.
        settings: ``empty_head``, ``empty_gate``, ``deep_supervision``, ``stem``.
        logits: of the mask, (batch, h, w, 1) float32.
        bottom: the coarsest features.
        levels: features of the expansive path, coarse to fine.
        tile: from ``tile_features``, which the empty-tile head then reads instead of ``bottom``.

    Returns:
        (batch, h, w, channels) float32: the mask's logits, then the tile's logit at every pixel if there is an
        empty-tile head, then the logits of each coarser level if there is deep supervision.
    """
    side, outputs = logits.shape[1], [logits]
    if settings.empty_head:
        salt = _tile_logit(factory, bottom, "salt") if tile is None else _logit(factory, tile, "salt")
        if settings.empty_gate == "logit":
            outputs = [Gate(dtype="float32", name="gate")([logits, salt])]
        outputs.append(keras.layers.UpSampling2D(side, dtype="float32", name="salt_everywhere")(salt))
    if settings.deep_supervision:
        coarser = levels[:-1] if settings.stem == "none" else levels
        for number, x in enumerate(reversed(coarser), start=1):
            outputs.append(
                keras.layers.UpSampling2D(
                    side // x.shape[1], interpolation="bilinear", dtype="float32", name=f"deep{number}"
                )(factory.logits(x, f"deep{number}_logits"))
            )
    return keras.layers.Concatenate(dtype="float32", name="answers")(outputs) if len(outputs) > 1 else logits


def _tile_logit(factory: LayerFactory, x: Tensor, name: str) -> Tensor:
    """The logit that a tile contains salt, from its coarsest features: (b, h, w, c) -> (b, 1, 1, 1) float32."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    x = keras.layers.Dropout(TILE_DROPOUT, seed=factory.next_seed(), name=f"{name}_dropout")(x)
    return _logit(factory, x, name)


def _logit(factory: LayerFactory, x: Tensor, name: str) -> Tensor:
    """(b, 1, 1, c) -> (b, 1, 1, 1) float32."""
    return keras.layers.Dense(1, kernel_initializer=factory.initializer(), dtype="float32", name=f"{name}_logit")(x)
