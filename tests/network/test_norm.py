"""Batch norm: the numbers of Keras' own layer, and a twin for prediction that answers the same."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.config import NetworkSettings
from pipeline.network.norm import BatchNormalization, Folded
from pipeline.network.unet import build_unet
from tests.conftest import answers

pytestmark = pytest.mark.backends


def stirred(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with weights that look trained: no norm is the identity any more."""
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([draw.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        elif layer.weights:
            layer.set_weights([weight + draw.normal(0, 0.05, weight.shape) for weight in layer.get_weights()])
    return model


def tiles(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (count, size, size, 1)).astype(np.float32)


def trained_on(norm: type[keras.layers.BatchNormalization]) -> tuple[list[np.ndarray], float]:
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(4, 3, use_bias=False)(image)
    x = norm(momentum=0.9, name="norm")(x)
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(keras.ops.relu(x)))
    model.compile("sgd", "mse", jit_compile=False)
    draw = np.random.default_rng(0)
    for _ in range(3):
        loss = model.train_on_batch(draw.normal(2, 3, (4, 8, 8, 2)), draw.normal(size=(4, 6, 6, 1)))
    return model.get_weights(), float(loss)


def test_training_moves_weights_and_statistics_as_keras_own_layer_does():
    (ours, loss), (theirs, wanted) = trained_on(BatchNormalization), trained_on(keras.layers.BatchNormalization)
    assert loss == pytest.approx(wanted, rel=1e-4)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)


def test_a_frozen_norm_keeps_its_statistics():
    layer = BatchNormalization()
    layer.build((None, 4, 4, 3))
    layer.trainable = False
    before = layer.get_weights()
    layer(np.random.default_rng(0).normal(5, 2, (2, 4, 4, 3)).astype(np.float32), training=True)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "settings",
    [
        NetworkSettings(width=4, levels=2),
        NetworkSettings(width=4, levels=2, residual=False, stem="none", up="bilinear"),
        NetworkSettings(width=4, levels=2, norm="group"),
        NetworkSettings(width=4, levels=2, norm="none", residual=False),
        NetworkSettings(width=4, levels=2, attention="scse", hypercolumn=True, deep_supervision=0.5, empty_head=0.1),
        NetworkSettings(width=4, levels=2, encoder="se_resnet34"),
    ],
    ids=["residual", "plain", "group norm", "no norm", "everything", "se_resnet34"],
)
def test_the_folded_twin_answers_the_same_without_a_single_batch_norm(settings: NetworkSettings):
    model = stirred(build_unet(settings, 32, seed=1))
    folded = Folded(model)
    folded.take(model)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.model.layers)
    np.testing.assert_allclose(answers(folded.model, tiles(2)), answers(model, tiles(2)), rtol=1e-3, atol=1e-3)
    # It follows the network, or another of its kind.
    other = stirred(build_unet(settings, 32, seed=2), seed=5)
    folded.take(other)
    np.testing.assert_allclose(answers(folded.model, tiles(2)), answers(other, tiles(2)), rtol=1e-3, atol=1e-3)


def test_every_kind_of_convolution_takes_its_norm_in_and_nothing_else_does():
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = BatchNormalization(name="in_conv")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="depthwise")(x)
    x = BatchNormalization(scale=False, name="in_depthwise")(x)
    x = keras.layers.Conv2DTranspose(5, 2, strides=2, name="transposed")(x)
    x = BatchNormalization(center=False, name="in_transposed")(x)
    active = keras.layers.Conv2D(5, 1, activation="relu", name="active")(x)
    x = BatchNormalization(name="after_relu")(active)
    shared = keras.layers.Conv2D(5, 1, name="shared")(x)
    normed = BatchNormalization(name="after_shared")(shared)
    model = stirred(keras.Model(image, keras.layers.Add()([normed, shared])))
    folded = Folded(model)
    folded.take(model)
    left = {layer.name for layer in folded.model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert left == {"after_relu", "after_shared"}
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(answers(folded.model, images), answers(model, images), rtol=1e-3, atol=1e-3)
