"""Batch norm: the numbers of Keras' layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.network.batch_norm import BatchNormalization

pytestmark = pytest.mark.backends


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


def test_training_updates_weights_and_statistics_as_keras_layer_does():
    (ours, loss), (theirs, expected) = trained_on(BatchNormalization), trained_on(keras.layers.BatchNormalization)
    assert loss == pytest.approx(expected, rel=1e-4)
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
