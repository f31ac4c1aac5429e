"""Context modules at the bottom of the U-Net: each pixel sees the whole image, at several scales.

Both compute branches of a quarter of the channels, and a 1x1 convolution of all of them. The papers merge by a 3x3
convolution; here the convolutions of the expansive path follow.
"""

from __future__ import annotations

import keras

from pipeline.network.layer_factory import LayerFactory
from pipeline.network.layers import Tensor

BINS = (1, 2, 3, 6)
"""Cells per side of the pyramid, as in its paper."""
RATES = (2, 4, 6)
"""Dilation rates. The paper has 6, 12 and 18, for larger features: the default's bottom has 14 pixels a side."""


def pyramid_pooling(factory: LayerFactory, x: Tensor) -> Tensor:
    """The pyramid pooling module of PSPNet (Zhao et al. 2017, https://arxiv.org/abs/1612.01105, section 3.2).

    The features and their means over grids of 1, 2, 3 and 6 cells a side, interpolated back; grids with more cells than
    pixels are left out. (b, h, h, c) -> the same shape.
    """
    side, channels = x.shape[1], x.shape[-1]
    branches = [x]
    for bins in (each for each in BINS if each <= side):
        name = f"context_pool{bins}"
        if bins == 1:
            # Keras' adaptive pooling with TensorFlow cannot compute a single cell inside a tf.function, so no step.
            pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name=name)(x)
        else:
            pooled = keras.layers.AdaptiveAveragePooling2D(bins, name=name)(x)
        pooled = factory.convolution(pooled, max(channels // 4, 1), f"{name}_conv", kernel=1)
        branches.append(keras.layers.Resizing(side, side, interpolation="bilinear", name=f"{name}_resize")(pooled))
    joined = keras.layers.Concatenate(name="context")(branches)
    return factory.convolution(joined, channels, "context_merge", kernel=1)


def dilated_convolutions(factory: LayerFactory, x: Tensor) -> Tensor:
    """Atrous spatial pyramid pooling (ASPP) of DeepLabv3 (Chen et al. 2017, https://arxiv.org/abs/1706.05587).

    A 1x1 convolution, 3x3 convolutions with the dilation rates ``RATES``, and the mean of the image, side by side; a
    rate of at least the image's side is left out, since only the kernel's centre would meet the image.
    (b, h, h, c) -> the same shape.
    """
    side, channels = x.shape[1], x.shape[-1]
    width = max(channels // 4, 1)
    branches = [factory.convolution(x, width, "context_rate1", kernel=1)]
    for rate in (each for each in RATES if each < side):
        branches.append(factory.convolution(x, width, f"context_rate{rate}", dilation=rate))
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name="context_pool")(x)
    pooled = factory.convolution(pooled, width, "context_pool_conv", kernel=1)
    branches.append(keras.layers.UpSampling2D(side, name="context_pool_everywhere")(pooled))
    joined = keras.layers.Concatenate(name="context")(branches)
    return factory.convolution(joined, channels, "context_merge", kernel=1)


CONTEXTS = {"pyramid": pyramid_pooling, "dilated": dilated_convolutions}
"""The modules by their names in ``network.context``."""
