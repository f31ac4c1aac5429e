"""Floating-point operations of a network, counted from its layers."""

from __future__ import annotations

import math

import keras


def forward_flops(model: keras.Model) -> int:
    """Operations of one forward pass of one image: two for each multiply-add of a convolution or dense layer.

    Norms, activations, additions and interpolation are left out, as is usual: they are few, and slow for another
    reason, which is memory.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += forward_flops(layer)
        elif isinstance(layer, keras.layers.Conv2DTranspose):
            total += 2 * math.prod(layer.input.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.SeparableConv2D):
            kernels = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
            total += 2 * math.prod(layer.output.shape[1:3]) * kernels
        elif isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
            total += 2 * math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += 2 * math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
    return total
