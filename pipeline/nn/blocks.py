"""The parts that a U-Net is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import keras

from pipeline.config import NetworkSettings
from pipeline.nn.norm import BatchNormalization

Tensor: TypeAlias = keras.KerasTensor


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
        self._seed += 1
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
        return self._residual(x, channels, name) if self._settings.residual else self._plain(x, channels, name)

    def _plain(self, x: Tensor, channels: int, name: str) -> Tensor:
        x = self.convolution(x, channels, f"{name}_conv1")
        # The second convolution takes the first one's output. A much-copied notebook gives it the block's input
        # again, which throws the first convolution away.
        return self.convolution(x, channels, f"{name}_conv2")

    def _residual(self, x: Tensor, channels: int, name: str) -> Tensor:
        """He et al. 2016, https://arxiv.org/abs/1512.03385: the block learns what to add to its input."""
        shortcut = x
        if x.shape[-1] != channels:
            shortcut = self.convolution(x, channels, f"{name}_shortcut", kernel=1, activate=False)
        x = self.convolution(x, channels, f"{name}_conv1")
        x = self.convolution(x, channels, f"{name}_conv2", activate=False)
        x = keras.layers.Add(name=f"{name}_add")([x, crop_to(shortcut, x, f"{name}_shortcut_crop")])
        return keras.layers.Activation("relu", name=f"{name}_relu")(x)

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
