"""Blocks of layers: two convolutions, residual, squeeze and excitation, scSE, and the joining of a skip."""

from __future__ import annotations

import keras

from pipeline.network.layer_factory import LayerFactory
from pipeline.network.layers import Tensor

SQUEEZE_RATIO = 16
"""Squeeze and excitation has this many times fewer channels between its two dense layers."""


def plain_block(factory: LayerFactory, x: Tensor, channels: int, name: str) -> Tensor:
    """Two convolutions: (batch, h, w, c) -> (batch, h', w', channels)."""
    x = factory.convolution(x, channels, f"{name}_conv1")
    # The second convolution takes the first one's output. A much-copied notebook passes it the block's input again,
    # which discards the first convolution.
    return factory.convolution(x, channels, f"{name}_conv2")


def residual_block(
    factory: LayerFactory, x: Tensor, channels: int, name: str, stride: int = 1, squeeze: bool = False
) -> Tensor:
    """Two convolutions whose output is added to the input (He et al. 2016, https://arxiv.org/abs/1512.03385).

    Args:
        factory: of the network's layers.
        x: (batch, h, w, c).
        channels: of the output.
        name: prefix of the layers' names.
        stride: of the first convolution and of the shortcut.
        squeeze: apply squeeze and excitation before the addition.

    Returns:
        (batch, h / stride, w / stride, channels).
    """
    shortcut = x
    if x.shape[-1] != channels or stride > 1:
        shortcut = factory.convolution(x, channels, f"{name}_shortcut", kernel=1, stride=stride, activate=False)
    x = factory.convolution(x, channels, f"{name}_conv1", stride=stride)
    x = factory.convolution(x, channels, f"{name}_conv2", activate=False)
    if squeeze:
        x = squeeze_excitation(factory, x, f"{name}_se")
    x = keras.layers.Add(name=f"{name}_add")([x, crop_to(shortcut, x, f"{name}_shortcut_crop")])
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def squeeze_excitation(factory: LayerFactory, x: Tensor, name: str) -> Tensor:
    """Channel attention (Hu et al. 2018, https://arxiv.org/abs/1709.01507): (b, h, w, c) -> (b, h, w, c).

    Each channel is multiplied by a weight that is computed from the means of all channels.
    """
    channels = x.shape[-1]
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)  # (batch, 1, 1, c)
    for size, activation, part in (
        (max(channels // SQUEEZE_RATIO, 4), "relu", "reduce"),
        (channels, "sigmoid", "excite"),
    ):
        weights = keras.layers.Dense(
            size, activation=activation, kernel_initializer=factory.initializer(), name=f"{name}_{part}"
        )(weights)
    return keras.layers.Multiply(name=f"{name}_weigh")([x, weights])


def scse(factory: LayerFactory, x: Tensor, name: str) -> Tensor:
    """Spatial and channel attention, scSE (Roy et al. 2018, https://arxiv.org/abs/1803.02579).

    The sum of the input weighted by pixel and the input weighted by channel: (b, h, w, c) -> (b, h, w, c).
    """
    pixels = keras.layers.Conv2D(
        1, 1, activation="sigmoid", kernel_initializer=factory.initializer(), name=f"{name}_spatial"
    )(x)  # (batch, h, w, 1)
    by_pixel = keras.layers.Multiply(name=f"{name}_spatial_weigh")([x, pixels])
    return keras.layers.Add(name=f"{name}_scse")([by_pixel, squeeze_excitation(factory, x, f"{name}_channel")])


def concatenate_skip(x: Tensor, skip: Tensor, name: str) -> Tensor:
    """Concatenate upsampled features with a skip from the contracting path, cropped where it is larger."""
    return keras.layers.Concatenate(name=f"{name}_concat")([x, crop_to(skip, x, f"{name}_crop")])


def crop_to(x: Tensor, like: Tensor, name: str) -> Tensor:
    """The centre of ``x``, with the height and width of ``like``; ``x`` itself where they are equal."""
    margin = x.shape[1] - like.shape[1]
    if margin == 0:
        return x
    before = margin // 2
    sides = (before, margin - before)
    return keras.layers.Cropping2D((sides, sides), name=name)(x)
