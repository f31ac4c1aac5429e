"""Floating-point operations of a network, counted from its layers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import keras


def forward_flops(model: keras.Model) -> int:
    """Operations of one forward pass of one image: two for each multiply-add of a convolution or dense layer.

    Norms, activations, additions and interpolation are left out, as is usual: they are few, and slow for another
    reason, which is memory.
    """
    return sum(layer_flops(layer) for layer in layers(model))


def layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a network, and of networks within it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers(layer)
        else:
            yield layer


def layer_flops(layer: keras.layers.Layer) -> int:
    """Operations of one layer for one image; see ``forward_flops``."""
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return 2 * math.prod(layer.input.shape[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.SeparableConv2D):
        kernels = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
        return 2 * math.prod(layer.output.shape[1:3]) * kernels
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
        return 2 * math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        return 2 * math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
    return 0


def layer_bytes(layer: keras.layers.Layer, batch: int) -> int:
    """Bytes that one layer reads and writes for a batch at least: inputs, output and weights, each once.

    All in the layer's compute precision.
    """
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    values = sum(math.prod(each.shape[1:]) for each in [*inputs, layer.output])
    size = 2 if layer.compute_dtype in ("bfloat16", "float16") else 4
    return size * (batch * values + layer.count_params())
