"""Folding of batch norms into convolutions, for prediction."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pipeline.network.layers import Tensor


class FoldedModel:
    """A copy of a network for prediction, with each batch norm folded into the convolution before it.

    A trained batch norm multiplies and shifts each channel by constants, which a convolution's kernel and bias can do
    as well (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2). What remains is a network of
    convolutions and ReLUs, which every backend runs as one operation each.

    Args:
        model: a functional network, trained or not. A batch norm is kept where it does not follow a linear convolution,
            or where something else also uses that convolution's output.

    Attributes:
        model: the copy. Its weights are undefined until ``copy_weights_from``, and do not follow further training.
    """

    def __init__(self, model: keras.Model) -> None:
        self._norm_of = _foldable_norms(model)
        """Name of a convolution -> name of the norm that is folded into it."""
        folded = {*self._norm_of.values()}

        def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
            config = layer.get_config()
            if layer.name in self._norm_of:
                config["use_bias"] = True
            return type(layer).from_config(config)

        def call(layer: keras.layers.Layer, *inputs: Tensor, **options: Any) -> Tensor:
            return inputs[0] if layer.name in folded else layer(*inputs, **options)

        self.model = keras.models.clone_model(model, clone_function=clone, call_function=call)
        # By index, not by name: backbones let Keras name some of their layers, and it numbers them differently in each
        # network.
        self._index = {layer.name: index for index, layer in enumerate(model.layers)}

    def copy_weights_from(self, model: keras.Model) -> None:
        """Copy, and fold, the weights of the original network or of another one with the same layers."""
        layers = model.layers
        for layer in self.model.layers:
            if not layer.weights:
                continue
            source = layers[self._index[layer.name]]
            if layer.name in self._norm_of:
                layer.set_weights(_folded_weights(source, layers[self._index[self._norm_of[layer.name]]]))
            else:
                layer.set_weights(source.get_weights())
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()  # it computes with values derived from its weights


def _foldable_norms(model: keras.Model) -> dict[str, str]:
    """Name of each linear convolution whose output only a batch norm uses -> name of that norm."""
    consumers: dict[int, list[keras.Operation]] = {}
    for operation in model.operations:  # layers, and operations on tensors that are not layers
        inputs = operation.input if isinstance(operation.input, list) else [operation.input]
        for each in inputs:
            consumers.setdefault(id(each), []).append(operation)
    norms = {}
    outputs = {id(each) for each in model.outputs}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose | keras.layers.DepthwiseConv2D):
            continue
        after = consumers.get(id(layer.output), [])
        linear = layer.activation is keras.activations.linear and id(layer.output) not in outputs
        if linear and len(after) == 1 and isinstance(after[0], keras.layers.BatchNormalization):
            norms[layer.name] = after[0].name
    return norms


def _folded_weights(convolution: keras.layers.Layer, norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    """Kernel and bias of the one convolution that equals convolution and norm."""
    kernel, *rest = convolution.get_weights()
    bias = rest[0] if rest else 0.0
    scale = 1 / np.sqrt(_to_numpy(norm.moving_variance).astype(np.float64) + norm.epsilon)
    if norm.scale:
        scale = scale * _to_numpy(norm.gamma)
    shift = (bias - _to_numpy(norm.moving_mean)) * scale
    if norm.center:
        shift = shift + _to_numpy(norm.beta)
    if isinstance(convolution, keras.layers.DepthwiseConv2D):
        per_output = scale.reshape(kernel.shape[-2:])  # (inputs, multiplier)
    elif isinstance(convolution, keras.layers.Conv2DTranspose):
        per_output = scale[:, None]  # its kernel is (height, width, outputs, inputs)
    else:
        per_output = scale
    return [(kernel * per_output).astype(np.float32), shift.astype(np.float32)]


def _to_numpy(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable.value))
