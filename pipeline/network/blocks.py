"""The parts that a U-Net is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import keras

from pipeline.config import NetworkSettings
from pipeline.network.norm import BatchNormalization

Tensor: TypeAlias = keras.KerasTensor

SQUEEZE = 16
"""By how much squeeze and excitation narrows the channels in between."""


class Blocks:
    """Makes the parts of one network; holds what they share: initializer, norm, padding, and the seeds.

    Every layer that draws random numbers gets a seed of its own, counted from the network's seed, so that the same
    seed gives the same network whatever was built before it.

    Args:
        settings: of the network.
        seed: of the network.
    """

    def __init__(self, settings: NetworkSettings, seed: int) -> None:
        self._settings, self._seed = settings, seed * 10_000

    def _next_seed(self) -> int:
        self._seed = (self._seed + 1) % 2**31  # PyTorch keeps them in 32 bits with a sign
        return self._seed

    def convolution(
        self, x: Tensor, channels: int, name: str, kernel: int = 3, stride: int = 1, activate: bool = True
    ) -> Tensor:
        """Convolution, norm (where there is one) and ReLU: (b, h, w, c) -> (b, h', w', channels)."""
        normed = self._settings.norm != "none"
        # A 1x1 convolution and the stem keep the image's size by themselves; only 3x3 follows the setting.
        padding = self._settings.padding if kernel == 3 and stride == 1 else "same"
        x = keras.layers.Conv2D(
            channels,
            kernel,
            strides=stride,
            padding=padding,
            use_bias=not normed,  # the norm takes any bias away again
            kernel_initializer=self.initializer(),
            name=name,
        )(x)
        x = self._norm(x, name)
        return keras.layers.Activation("relu", name=f"{name}_relu")(x) if activate else x

    def block(self, x: Tensor, channels: int, name: str) -> Tensor:
        """Two convolutions, with a shortcut around them in a residual network."""
        return self.residual(x, channels, name) if self._settings.residual else self._plain(x, channels, name)

    def _plain(self, x: Tensor, channels: int, name: str) -> Tensor:
        x = self.convolution(x, channels, f"{name}_conv1")
        # The second convolution takes the first one's output. A much-copied notebook gives it the block's input
        # again, which throws the first convolution away.
        return self.convolution(x, channels, f"{name}_conv2")

    def residual(self, x: Tensor, channels: int, name: str, stride: int = 1, squeezed: bool = False) -> Tensor:
        """He et al. 2016, https://arxiv.org/abs/1512.03385: the block learns what to add to its input.

        (batch, h, w, c) -> (batch, h / stride, w / stride, channels); ``squeezed`` weighs what it adds by channel.
        """
        shortcut = x
        if x.shape[-1] != channels or stride > 1:
            shortcut = self.convolution(x, channels, f"{name}_shortcut", kernel=1, stride=stride, activate=False)
        x = self.convolution(x, channels, f"{name}_conv1", stride=stride)
        x = self.convolution(x, channels, f"{name}_conv2", activate=False)
        if squeezed:
            x = self.channel_attention(x, f"{name}_se")
        x = keras.layers.Add(name=f"{name}_add")([x, crop_to(shortcut, x, f"{name}_shortcut_crop")])
        return keras.layers.Activation("relu", name=f"{name}_relu")(x)

    def channel_attention(self, x: Tensor, name: str) -> Tensor:
        """Squeeze and excitation (Hu et al. 2018, https://arxiv.org/abs/1709.01507): (b, h, w, c) -> the same.

        Each channel is weighed by what all pixels say.
        """
        channels = x.shape[-1]
        weights = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)  # (batch, 1, 1, c)
        for size, activation, part in (
            (max(channels // SQUEEZE, 4), "relu", "reduce"),
            (channels, "sigmoid", "excite"),
        ):
            weights = keras.layers.Dense(
                size, activation=activation, kernel_initializer=self.initializer(), name=f"{name}_{part}"
            )(weights)
        return keras.layers.Multiply(name=f"{name}_weigh")([x, weights])

    def attention(self, x: Tensor, name: str) -> Tensor:
        """Attention to channels and pixels, scSE (Roy et al. 2018, https://arxiv.org/abs/1803.02579), if asked for.

        Channels are weighed by what all pixels say, pixels by what all channels say; both are added. (b, h, w, c) ->
        the same.
        """
        if self._settings.attention == "none":
            return x
        pixels = keras.layers.Conv2D(
            1, 1, activation="sigmoid", kernel_initializer=self.initializer(), name=f"{name}_spatial"
        )(x)  # (batch, h, w, 1)
        by_pixel = keras.layers.Multiply(name=f"{name}_spatial_weigh")([x, pixels])
        return keras.layers.Add(name=f"{name}_scse")([by_pixel, self.channel_attention(x, f"{name}_channel")])

    def dropout(self, x: Tensor, rates: Sequence[float], place: int, name: str) -> Tensor:
        """Dropout with the rate of a place, where the last rate repeats; nothing where it is 0."""
        rate = rates[min(place, len(rates) - 1)]
        if not rate:
            return x
        layer = keras.layers.SpatialDropout2D if self._settings.dropout_kind == "spatial" else keras.layers.Dropout
        return layer(rate, seed=self._next_seed(), name=name)(x)

    def upsample(self, x: Tensor, channels: int, name: str) -> Tensor:
        """Twice the height and width: (b, h, w, c) -> (b, 2h, 2w, channels).

        A transposed convolution learns how to; interpolation is fixed, and a 1x1 convolution before it sets the
        channels where the image is still small.
        """
        if self._settings.up == "transposed":
            return keras.layers.Conv2DTranspose(
                channels,
                self._settings.up_kernel,
                strides=2,
                padding="same",
                kernel_initializer=self.initializer(),
                name=name,
            )(x)
        x = self.convolution(x, channels, f"{name}_conv", kernel=1)
        return keras.layers.UpSampling2D(2, interpolation=self._settings.up, name=name)(x)

    def logits(self, x: Tensor, name: str) -> Tensor:
        """One logit for each pixel: (b, h, w, c) -> (b, h, w, 1) float32."""
        return keras.layers.Conv2D(1, 1, kernel_initializer=self.initializer(), dtype="float32", name=name)(x)

    def tile_logit(self, x: Tensor, name: str) -> Tensor:
        """The logit that a tile holds salt, from its coarsest features: (b, h, w, c) -> (b, 1, 1, 1) float32."""
        x = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
        x = keras.layers.Dropout(0.5, seed=self._next_seed(), name=f"{name}_dropout")(x)
        return keras.layers.Dense(1, kernel_initializer=self.initializer(), dtype="float32", name=f"{name}_logit")(x)

    def normed_relu(self, x: Tensor, name: str) -> Tensor:
        """Norm (where there is one) and ReLU."""
        return keras.layers.Activation("relu", name=f"{name}_relu")(self._norm(x, name))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        if self._settings.norm == "batch":
            # Folds are small: with Keras' momentum of 0.99 the statistics would lag behind the weights for epochs.
            return BatchNormalization(momentum=0.97, name=f"{name}_norm")(x)
        if self._settings.norm == "group":
            channels = x.shape[-1]
            groups = next(count for count in (8, 4, 2, 1) if channels % count == 0)
            return keras.layers.GroupNormalization(groups, name=f"{name}_norm")(x)
        return x

    def initializer(self) -> keras.initializers.Initializer:
        """A fresh kernel initializer, with a seed of its own."""
        kind = {
            "he_normal": keras.initializers.HeNormal,
            "he_uniform": keras.initializers.HeUniform,
            "glorot_normal": keras.initializers.GlorotNormal,
            "glorot_uniform": keras.initializers.GlorotUniform,
        }[self._settings.kernel_initializer]
        return kind(seed=self._next_seed())


def crop_to(x: Tensor, like: Tensor, name: str) -> Tensor:
    """The middle of ``x``, as high and wide as ``like``; ``x`` itself where they agree."""
    margin = x.shape[1] - like.shape[1]
    if margin == 0:
        return x
    before = margin // 2
    sides = (before, margin - before)
    return keras.layers.Cropping2D((sides, sides), name=name)(x)


def join(x: Tensor, skip: Tensor, name: str) -> Tensor:
    """What came up from below, beside the skip from the contracting path, cropped where it is larger."""
    return keras.layers.Concatenate(name=f"{name}_concat")([x, crop_to(skip, x, f"{name}_crop")])


class Coordinates(keras.layers.Layer):
    """Where each pixel is (Liu et al. 2018, https://arxiv.org/abs/1807.03247), rows and columns from -1 to 1.

    (batch, h, w, c) -> (batch, h, w, 2).
    """

    def call(self, inputs: Tensor) -> Tensor:
        height, width = inputs.shape[1:3]
        # Sums with nothing of the image, so that the batch's size is the image's own.
        nothing = inputs[..., :1] * 0
        rows = keras.ops.reshape(keras.ops.linspace(-1.0, 1.0, height), (1, height, 1, 1))
        columns = keras.ops.reshape(keras.ops.linspace(-1.0, 1.0, width), (1, 1, width, 1))
        return keras.ops.concatenate(
            [nothing + keras.ops.cast(each, nothing.dtype) for each in (rows, columns)], axis=-1
        )


class Gate(keras.layers.Layer):
    """Lets a head that tells tiles with salt from empty ones have its say in the mask.

    Where the head says empty, its logit, which is negative then, is added to that of each pixel. In training the mask
    learns by itself: a gate that is shut would keep its gradient from it.

    Takes logits of the mask (batch, h, w, 1) and of the tile (batch, 1, 1, 1); returns (batch, h, w, 1).
    """

    def call(self, inputs: list[Tensor], training: bool | None = None) -> Tensor:
        mask, tile = inputs
        return mask if training else mask + keras.ops.minimum(tile, 0.0)
