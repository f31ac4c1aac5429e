"""Learning rates: the value at each step, computed without any state."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.config import load
from pipeline.network.schedules import cycle_edges, learning_rate, plateau_rate

pytestmark = pytest.mark.backends

STEPS = 10


def rates(*assignments: str, steps: int = STEPS) -> np.ndarray:
    """The rate at each step of a training and one step after its end, evaluated in reverse order."""
    settings = load("unet", ["train.learning_rate=0.1", *assignments]).train
    rate = learning_rate(settings, steps)
    assert not isinstance(rate, float)
    total = settings.epochs * steps
    found = {step: float(keras.ops.convert_to_numpy(rate(step))) for step in reversed(range(total + 1))}
    return np.array([found[step] for step in range(total + 1)])


def test_one_cycle_rises_to_the_peak_and_falls_to_the_floor():
    found = rates(
        "train.schedule=one_cycle",
        "train.epochs=10",
        "train.pct_start=0.3",
        "train.div_factor=20",
        "train.min_lr_ratio=0.01",
    )
    assert found[0] == pytest.approx(0.1 / 20)
    assert found.argmax() == 30
    assert found[30] == pytest.approx(0.1)
    np.testing.assert_allclose(np.diff(found[:31]), (0.1 - 0.005) / 30, rtol=1e-3)
    assert (np.diff(found[30:]) < 0).all()
    assert found[65] == pytest.approx(0.1 * (1 + 0.01) / 2)
    assert found[-1] == pytest.approx(0.001)


def test_one_cycle_can_start_at_its_peak():
    found = rates("train.schedule=one_cycle", "train.epochs=2", "train.pct_start=0")
    assert found[0] == pytest.approx(0.1)
    assert (np.diff(found) < 0).all()


def test_a_cosine_falls_even_where_the_warm_up_is_as_long_as_the_training():
    for found in (rates("train.epochs=1"), rates("train.epochs=1", "train.warmup_epochs=9")):
        assert found[0] == pytest.approx(0.001)
        assert found[1] == pytest.approx(0.1)
        assert (np.diff(found[1:]) < 0).all()
        assert found[-1] == pytest.approx(0.001)
    assert rates("train.epochs=2")[:11].argmax() == 10


def test_each_cycle_starts_at_the_peak_and_ends_at_the_floor():
    found = rates(
        "train.schedule=cosine_restarts",
        "train.epochs=9",
        "train.cycles=3",
        "train.min_lr_ratio=0",
        "train.warmup_epochs=0",
    )
    np.testing.assert_allclose(found[[0, 30, 60]], 0.1)
    np.testing.assert_allclose(found[[15, 45, 75]], 0.05, rtol=1e-5)
    one = found[:30]
    np.testing.assert_allclose(one, 0.05 * (1 + np.cos(np.pi * np.arange(30) / 30)), rtol=1e-4)
    np.testing.assert_array_equal(found[:30], found[30:60])
    assert found[-1] == pytest.approx(0, abs=1e-9)


def test_only_the_first_cosine_has_a_warm_up():
    common = ("train.schedule=cosine_restarts", "train.epochs=4", "train.cycles=2")
    found = rates(*common, "train.warmup_epochs=1")
    assert found[0] == pytest.approx(0.001)
    assert found[10] == pytest.approx(found[20]) == pytest.approx(0.1)
    assert (np.diff(found[:11]) > 0).all()
    assert (np.diff(found[10:20]) < 0).all()
    # A warm-up longer than the first cycle ends one step before it.
    assert rates(*common, "train.warmup_epochs=3")[19:21] == pytest.approx([0.1, 0.1])


def test_epochs_are_split_into_cycles_as_evenly_as_possible():
    edges = cycle_edges(load("unet", ["train.schedule=cosine_restarts", "train.cycles=4", "train.epochs=10"]).train)
    assert (edges[0], edges[-1]) == (0, 10)
    assert sorted(np.diff(edges)) == [2, 2, 3, 3]


def test_a_long_first_cycle_is_followed_by_equal_ones():
    common = ("train.schedule=cosine_restarts", "train.epochs=10", "train.first_cycle=0.4", "train.cycles=4")
    assert cycle_edges(load("unet", [*common]).train) == [0, 4, 6, 8, 10]
    assert cycle_edges(load("unet", [*common, "train.cycles=1"]).train) == [0, 10]
    found = rates(*common, "train.min_lr_ratio=0", "train.warmup_epochs=0")
    np.testing.assert_allclose(found[[0, 40, 60, 80]], 0.1)
    np.testing.assert_allclose(found[[20, 50, 70, 90]], 0.05, rtol=1e-5)


def test_plateau_reduces_the_rate_when_the_score_stops_rising():
    train = load("unet", ["train.plateau_patience=2", "train.plateau_factor=0.1", "train.min_lr_ratio=0.01"]).train
    assert plateau_rate(train, []) == train.learning_rate
    assert plateau_rate(train, [0.1, 0.2, 0.2]) == train.learning_rate
    assert plateau_rate(train, [0.1, 0.2, 0.2, 0.1]) == pytest.approx(train.learning_rate * 0.1)
    assert plateau_rate(train, [0.5] + [0.1] * 20) == pytest.approx(train.learning_rate * 0.01)
