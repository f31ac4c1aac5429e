"""Learning rates: what they are at each step, without any memory of the steps before."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.config import load
from pipeline.network.optimizers import cycle_edges, learning_rate

pytestmark = pytest.mark.backends
STEPS = 10


def rates(*assignments: str, steps: int = STEPS) -> np.ndarray:
    """The rate at each step of a training, asked for in any order, and once more after its end."""
    settings = load("unet", ["train.learning_rate=0.1", *assignments]).train
    rate = learning_rate(settings, steps)
    assert not isinstance(rate, float)
    total = settings.epochs * steps
    found = {step: float(keras.ops.convert_to_numpy(rate(step))) for step in reversed(range(total + 1))}
    return np.array([found[step] for step in range(total + 1)])


def test_one_cycle_rises_to_the_peak_and_falls_to_the_floor():
    found = rates(
        "train.schedule=one_cycle", "train.epochs=10", "train.peak_at=0.3", "train.div=20", "train.floor=0.01"
    )
    assert found[0] == pytest.approx(0.1 / 20)
    assert found.argmax() == 30
    assert found[30] == pytest.approx(0.1)
    np.testing.assert_allclose(np.diff(found[:31]), (0.1 - 0.005) / 30, rtol=1e-3)
    assert (np.diff(found[30:]) < 0).all()
    assert found[65] == pytest.approx(0.1 * (1 + 0.01) / 2)
    assert found[-1] == pytest.approx(0.001)


def test_one_cycle_may_begin_at_its_peak():
    found = rates("train.schedule=one_cycle", "train.epochs=2", "train.peak_at=0")
    assert found[0] == pytest.approx(0.1)
    assert (np.diff(found) < 0).all()


def test_each_cycle_begins_at_the_peak_and_ends_at_the_floor():
    found = rates(
        "train.schedule=cosine_restarts", "train.epochs=9", "train.cycles=3", "train.floor=0", "train.warmup=0"
    )
    np.testing.assert_allclose(found[[0, 30, 60]], 0.1)
    np.testing.assert_allclose(found[[15, 45, 75]], 0.05, rtol=1e-5)
    one = found[:30]
    np.testing.assert_allclose(one, 0.05 * (1 + np.cos(np.pi * np.arange(30) / 30)), rtol=1e-4)
    np.testing.assert_array_equal(found[:30], found[30:60])
    assert found[-1] == pytest.approx(0, abs=1e-9)


def test_a_warm_up_comes_before_the_first_cosine_only():
    common = ("train.schedule=cosine_restarts", "train.epochs=4", "train.cycles=2")
    found = rates(*common, "train.warmup=1")
    assert found[0] == pytest.approx(0.001)
    assert found[10] == pytest.approx(found[20]) == pytest.approx(0.1)
    assert (np.diff(found[:11]) > 0).all()
    assert (np.diff(found[10:20]) < 0).all()
    # One that is longer than the first cycle leaves it its last step.
    assert rates(*common, "train.warmup=3")[19:21] == pytest.approx([0.1, 0.1])


def test_epochs_are_dealt_to_cycles_as_evenly_as_possible():
    edges = cycle_edges(load("unet", ["train.schedule=cosine_restarts", "train.cycles=4", "train.epochs=10"]).train)
    assert (edges[0], edges[-1]) == (0, 10)
    assert sorted(np.diff(edges)) == [2, 2, 3, 3]


def test_the_optimizer_follows_the_schedule():
    from pipeline.network.optimizers import make_optimizer

    settings = load("unet", ["train.schedule=cosine_restarts", "train.epochs=4", "train.warmup=0"]).train
    optimizer = make_optimizer(settings, STEPS)
    variable = keras.Variable(1.0)
    optimizer.build([variable])
    for _ in range(STEPS + 5):
        optimizer.apply([keras.ops.ones(())], [variable])
    middle = settings.learning_rate * (1 + settings.floor) / 2
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(middle, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_step_of_few_operations_does_what_keras_does(optimizer: str):
    """Weights and moving averages after some steps, in a compiled step as in training."""
    from pipeline.network.optimizers import average_variables, make_optimizer

    settings = load(
        "unet", [f"train.optimizer={optimizer}", "train.epochs=2", "train.weight_decay=0.3", "train.ema=0.7"]
    ).train
    ours = make_optimizer(settings, STEPS)
    kind = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[optimizer]
    theirs = kind(learning_rate(settings, STEPS), weight_decay=0.3, use_ema=True, ema_momentum=0.7)
    if optimizer == "adamw":
        theirs.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    draw = np.random.default_rng(0)
    images, wanted = draw.normal(size=(8, 8, 8, 1)), draw.normal(size=(8, 6, 6, 1))
    averages, weights = [], []
    for each in (ours, theirs):
        keras.utils.set_random_seed(0)
        image = keras.Input((8, 8, 1))
        # No bias: before a norm its gradient is rounding alone, which Adam makes as large as any other.
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(image))
        model = keras.Model(image, keras.layers.Conv2D(1, 1)(x))
        model.compile(optimizer=each, loss="mse", jit_compile=False)
        for _ in range(5):
            model.train_on_batch(images, wanted)
        averages.append([keras.ops.convert_to_numpy(average.value) for average in average_variables(model)])
        # Keras puts the average in the weights' place only at the end of a fit, which this is not.
        weights.append(model.get_weights())
    for mine, keras_own in zip(averages[0] + weights[0], averages[1] + weights[1], strict=True):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-4, atol=1e-6)
