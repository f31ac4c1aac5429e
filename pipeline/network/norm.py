"""Batch norm that is fast on every backend, and the network without it that predicts."""

from __future__ import annotations

from types import ModuleType
from typing import Any, TypeAlias

import keras
import numpy as np

Tensor: TypeAlias = keras.KerasTensor


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch norm over the last axis (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167).

    The same numbers and weights as Keras' own layer, which on TensorFlow is made of a dozen elementwise operations,
    each a pass over the whole image, and as many for the gradient. TensorFlow has one operation for all of it, which
    only its own interface offers. XLA on JAX fuses Keras' operations by itself.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        if not training or not self.trainable or mask is not None or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tensorflow().compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        # The operation tells the variance of a sample, n / (n - 1) times what Keras keeps.
        shape = keras.ops.shape(inputs)
        count = keras.ops.cast(shape[0] * shape[1] * shape[2], variance.dtype)
        variance = variance * (count - 1) / keras.ops.maximum(count, 1)
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))
        return outputs


def tensorflow() -> ModuleType:
    """TensorFlow itself, for what it alone offers; imported only where it is the backend."""
    import tensorflow as module

    return module


class Folded:
    """A network's twin for prediction, in which each batch norm is part of the convolution before it.

    A trained batch norm multiplies and shifts each channel by constants, and so does a convolution's kernel and bias:
    one of both does (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2). What is left is a network of
    convolutions and ReLUs, which every backend runs as one operation each.

    Args:
        model: a functional network, trained or being trained. Batch norms that do not follow a convolution without
            activation whose output nobody else takes stay as they are.

    Attributes:
        model: the twin; ``take`` before it is used, and again after the network has learnt more.
    """

    def __init__(self, model: keras.Model) -> None:
        self._pairs = _pairs(model)
        """Name of a convolution -> name of the norm that it takes in."""
        gone = {*self._pairs.values()}

        def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
            config = layer.get_config()
            if layer.name in self._pairs:
                config["use_bias"] = True
            return type(layer).from_config(config)

        def call(layer: keras.layers.Layer, *inputs: Tensor, **options: Any) -> Tensor:
            return inputs[0] if layer.name in gone else layer(*inputs, **options)

        self.model = keras.models.clone_model(model, clone_function=clone, call_function=call)
        # By their place, not by name: backbones leave the naming of some of their layers to Keras, which numbers them
        # anew in each network.
        self._places = {layer.name: place for place, layer in enumerate(model.layers)}

    def take(self, model: keras.Model) -> None:
        """Take over the weights of the network, or of another one with the same layers."""
        layers = model.layers
        for layer in self.model.layers:
            if not layer.weights:
                continue
            source = layers[self._places[layer.name]]
            if layer.name in self._pairs:
                layer.set_weights(_merged(source, layers[self._places[self._pairs[layer.name]]]))
            else:
                layer.set_weights(source.get_weights())
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()  # it computes with what it made of its weights, not with them


def _pairs(model: keras.Model) -> dict[str, str]:
    takers: dict[int, list[keras.Operation]] = {}
    for operation in model.operations:  # layers, and operations on tensors that are none
        inputs = operation.input if isinstance(operation.input, list) else [operation.input]
        for each in inputs:
            takers.setdefault(id(each), []).append(operation)
    pairs = {}
    answers = {id(each) for each in model.outputs}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose | keras.layers.DepthwiseConv2D):
            continue
        after = takers.get(id(layer.output), [])
        linear = layer.activation is keras.activations.linear and id(layer.output) not in answers
        if linear and len(after) == 1 and isinstance(after[0], keras.layers.BatchNormalization):
            pairs[layer.name] = after[0].name
    return pairs


def _merged(convolution: keras.layers.Layer, norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    """Kernel and bias of a convolution that does what convolution and norm did."""
    kernel, *rest = convolution.get_weights()
    bias = rest[0] if rest else 0.0
    scale = 1 / np.sqrt(_array(norm.moving_variance).astype(np.float64) + norm.epsilon)
    if norm.scale:
        scale = scale * _array(norm.gamma)
    shift = (bias - _array(norm.moving_mean)) * scale
    if norm.center:
        shift = shift + _array(norm.beta)
    if isinstance(convolution, keras.layers.DepthwiseConv2D):
        shaped = scale.reshape(kernel.shape[-2:])  # (inputs, multiplier)
    elif isinstance(convolution, keras.layers.Conv2DTranspose):
        shaped = scale[:, None]  # its kernel is (height, width, outputs, inputs)
    else:
        shaped = scale
    return [(kernel * shaped).astype(np.float32), shift.astype(np.float32)]


def _array(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable.value))
