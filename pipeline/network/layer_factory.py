"""The layers of one network, with the settings and the random seeds that they share."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from pipeline.config import NetworkSettings
from pipeline.network.batch_norm import BatchNormalization
from pipeline.network.layers import Tensor


class LayerFactory:
    """Creates the layers of one network; keeps what they share: initializer, norm, padding and seeds.

    Every layer that draws random numbers gets its own seed, counted up from the network's seed. The same seed therefore
    gives the same network, whatever was built before it, as long as the layers are created in the same order.

    Args:
        settings: of the network.
        seed: of the network.
    """

    def __init__(self, settings: NetworkSettings, seed: int) -> None:
        self._settings, self._seed = settings, seed * 10_000

    def next_seed(self) -> int:
        """The seed of the next layer."""
        self._seed = (self._seed + 1) % 2**31  # PyTorch stores seeds as signed 32-bit integers
        return self._seed

    def initializer(self) -> keras.initializers.Initializer:
        """A new kernel initializer with its own seed."""
        kind = {
            "he_normal": keras.initializers.HeNormal,
            "he_uniform": keras.initializers.HeUniform,
            "glorot_normal": keras.initializers.GlorotNormal,
            "glorot_uniform": keras.initializers.GlorotUniform,
        }[self._settings.kernel_initializer]
        return kind(seed=self.next_seed())

    def convolution(
        self,
        x: Tensor,
        channels: int,
        name: str,
        kernel: int = 3,
        stride: int = 1,
        activate: bool = True,
        dilation: int = 1,
    ) -> Tensor:
        """Convolution, norm (if the network has one) and ReLU: (b, h, w, c) -> (b, h', w', channels)."""
        has_norm = self._settings.norm != "none"
        # A 1x1 or dilated convolution and the stem keep the image's size in any case; other 3x3 follow the setting.
        padding = self._settings.padding if kernel == 3 and stride == dilation == 1 else "same"
        x = keras.layers.Conv2D(
            channels,
            kernel,
            strides=stride,
            padding=padding,
            dilation_rate=dilation,
            use_bias=not has_norm,  # a norm subtracts any bias again
            kernel_initializer=self.initializer(),
            name=name,
        )(x)
        x = self._norm(x, name)
        return keras.layers.Activation("relu", name=f"{name}_relu")(x) if activate else x

    def norm_relu(self, x: Tensor, name: str) -> Tensor:
        """Norm (if the network has one) and ReLU."""
        return keras.layers.Activation("relu", name=f"{name}_relu")(self._norm(x, name))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        if self._settings.norm == "batch":
            # Folds are small: with Keras' default momentum of 0.99 the statistics lag epochs behind the weights.
            return BatchNormalization(momentum=0.97, name=f"{name}_norm")(x)
        if self._settings.norm == "group":
            channels = x.shape[-1]
            groups = next(count for count in (8, 4, 2, 1) if channels % count == 0)
            return keras.layers.GroupNormalization(groups, name=f"{name}_norm")(x)
        return x

    def dropout(self, x: Tensor, rates: Sequence[float], index: int, name: str) -> Tensor:
        """Dropout with ``rates[index]``, where the last rate repeats; no layer where the rate is 0."""
        rate = rates[min(index, len(rates) - 1)]
        if not rate:
            return x
        layer = keras.layers.SpatialDropout2D if self._settings.dropout_kind == "spatial" else keras.layers.Dropout
        return layer(rate, seed=self.next_seed(), name=name)(x)

    def upsample(self, x: Tensor, channels: int, name: str) -> Tensor:
        """Double the height and width: (b, h, w, c) -> (b, 2h, 2w, channels).

        A transposed convolution has learned weights. Interpolation has none; a 1x1 convolution before it sets the
        number of channels while the image is still small.
        """
        if self._settings.upsampling == "transposed":
            return keras.layers.Conv2DTranspose(
                channels,
                self._settings.upsampling_kernel,
                strides=2,
                padding="same",
                kernel_initializer=self.initializer(),
                name=name,
            )(x)
        x = self.convolution(x, channels, f"{name}_conv", kernel=1)
        return keras.layers.UpSampling2D(2, interpolation=self._settings.upsampling, name=name)(x)

    def logits(self, x: Tensor, name: str, upsample: int = 1) -> Tensor:
        """One logit for each pixel: (b, h, w, c) -> (b, h * upsample, w * upsample, 1) float32.

        With ``upsample`` it is a transposed convolution whose kernels do not overlap: each feature computes a square of
        logits (sub-pixel convolution, Shi et al. 2016, https://arxiv.org/abs/1609.05158).
        """
        if upsample == 1:
            return keras.layers.Conv2D(1, 1, kernel_initializer=self.initializer(), dtype="float32", name=name)(x)
        return keras.layers.Conv2DTranspose(
            1, upsample, strides=upsample, kernel_initializer=self.initializer(), dtype="float32", name=name
        )(x)
