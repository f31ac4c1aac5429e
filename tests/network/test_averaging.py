"""The mean of weights over epochs: which epochs it averages, its batch norm statistics, and the restored weights."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import pytest

from pipeline.config import load
from pipeline.network.averaging import (
    TILES,
    StochasticAverage,
    arrays_of,
    average_batch_norm_statistics,
    averaged,
    recompute_batch_norm_statistics,
)
from pipeline.network.optimizers import make_optimizer
from pipeline.network.unet import build_unet
from tests.prediction.helpers import SMALL

pytestmark = pytest.mark.backends
SETTINGS = load(
    "unet",
    [
        *SMALL,
        "network.norm=batch",
        "train.epochs=4",
        "train.ema_momentum=0",
        "train.swa_start=0.5",
    ],
)


def network(seed: int = 0) -> keras.Model:
    model = build_unet(SETTINGS.network, SETTINGS.input.size, seed=seed)
    model.compile()
    return model


def weights(model: keras.Model, seed: int) -> list[np.ndarray]:
    """Random weights of the same shapes."""
    draw = np.random.default_rng(seed)
    return [draw.uniform(size=weight.shape) for weight in model.get_weights()]


def batches(tiles: int = TILES) -> Iterable[np.ndarray]:
    assert tiles == TILES
    draw = np.random.default_rng(0)
    return (draw.uniform(0, 255, (3, 112, 112, 1)).astype(np.float32) for _ in range(4))


def test_the_weights_after_each_of_the_last_epochs_are_averaged_equally():
    model, average = network(), StochasticAverage(SETTINGS.train, [])
    ends = []
    for epoch in range(4):
        model.set_weights(weights(model, epoch))
        ends.append(arrays_of(model.trainable_variables))
        average.add(model, epoch)
        assert bool(average.arrays) == (epoch >= 2)
    for mean, *values in zip(average.arrays, *ends[2:], strict=True):
        np.testing.assert_allclose(mean, np.mean(values, axis=0), atol=1e-6)


def test_the_mean_replaces_the_weights_and_all_variables_are_restored():
    model, average = network(), StochasticAverage(SETTINGS.train, [])
    raw = arrays_of(model.variables)
    with average.in_place(model, batches):  # no epoch has been averaged yet
        assert all(map(np.array_equal, arrays_of(model.variables), raw))
    for epoch in (2, 3):
        model.set_weights(weights(model, epoch))
        average.add(model, epoch)
    model.set_weights(weights(model, 0))
    raw = arrays_of(model.variables)
    with average.in_place(model, batches):
        first = arrays_of(model.variables)
        for weight, mean in zip(arrays_of(model.trainable_variables), average.arrays, strict=True):
            np.testing.assert_array_equal(weight, mean)
    for value, before in zip(arrays_of(model.variables), raw, strict=True):
        np.testing.assert_array_equal(value, before)
    with average.in_place(model, batches):  # a second time with the same result
        assert all(map(np.array_equal, arrays_of(model.variables), first))


def test_statistics_are_the_mean_over_the_batches_without_the_previous_value():
    model = network()
    norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    for each in (norm.moving_mean, norm.moving_variance):
        each.assign(np.full(each.shape, 7, np.float32))
    momentum = norm.momentum
    inside = keras.Model(model.input, norm.input)
    seen = [keras.ops.convert_to_numpy(inside(batch)) for batch in batches()]
    recompute_batch_norm_statistics(model, batches())
    means = np.mean([each.mean(axis=(0, 1, 2)) for each in seen], axis=0)
    variances = np.mean([each.var(axis=(0, 1, 2)) for each in seen], axis=0)
    np.testing.assert_allclose(arrays_of([norm.moving_mean])[0], means, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(arrays_of([norm.moving_variance])[0], variances, rtol=1e-3)
    assert norm.momentum == momentum


def test_a_network_without_batch_norm_reads_no_tile():
    settings = load("unet", ["network.norm=none", "network.width=4", "network.levels=1"])
    model = build_unet(settings.network, settings.input.size)

    def never() -> Iterable[np.ndarray]:
        raise AssertionError
        yield

    recompute_batch_norm_statistics(model, never())


def trained_with_moving_average() -> keras.Model:
    train = load("unet", ["train.ema_momentum=0.9", "train.epochs=2"]).train
    model = build_unet(SETTINGS.network, SETTINGS.input.size, seed=3)
    model.compile(optimizer=make_optimizer(train, 4), loss="mse", jit_compile=keras.backend.backend() == "jax")
    model.optimizer.build(model.trainable_variables)  # as a training does; otherwise the first step is traced twice
    for batch in batches():
        model.train_on_batch(batch, np.zeros((3, 112, 112, model.output_shape[-1]), np.float32))
    return model


def test_statistics_of_the_moving_average_are_recomputed_and_everything_is_restored():
    model = trained_with_moving_average()
    raw = arrays_of(model.variables)
    with averaged(model):
        plain = arrays_of(model.weights)
    with averaged(model, batches):
        found = arrays_of(model.weights)
    for value, before in zip(arrays_of(model.variables), raw, strict=True):
        np.testing.assert_array_equal(value, before)
    same = [np.array_equal(one, other) for one, other in zip(plain, found, strict=True)]
    trainable = {id(each) for each in model.trainable_variables}
    assert same == [id(weight) in trainable for weight in model.weights]
    with averaged(model, batches):  # a second time with the same result
        assert all(map(np.array_equal, arrays_of(model.weights), found))


def test_averaged_statistics_have_the_momentum_of_the_weights_average():
    image = keras.Input((4, 4, 2))
    frozen = keras.layers.BatchNormalization(momentum=0.5, trainable=False)
    model = keras.Model(image, frozen(keras.layers.BatchNormalization(momentum=0.5, name="norm")(image)))
    average_batch_norm_statistics(model, 0.9)
    model.compile(optimizer="sgd", loss="mse", jit_compile=keras.backend.backend() == "jax")
    tiles = [np.random.default_rng(seed).normal(seed, 1, (5, 4, 4, 2)).astype(np.float32) for seed in range(3)]
    for each in tiles:
        model.train_on_batch(each, each)
    expected = np.zeros(2)
    for each in tiles:
        expected = 0.9 * expected + 0.1 * each.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(arrays_of([model.get_layer("norm").moving_mean])[0], expected, rtol=1e-4, atol=1e-5)
    assert frozen.momentum == 0.5
