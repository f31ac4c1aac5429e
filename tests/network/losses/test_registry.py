"""Every loss by its name: a better prediction has a smaller loss, and values stay finite."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from pipeline.config import LossName
from pipeline.network.losses import make_loss
from tests.network.losses.helpers import masks, value

pytestmark = pytest.mark.backends

NAMES = get_args(LossName)


@pytest.mark.parametrize("name", NAMES)
def test_a_better_prediction_has_a_smaller_loss(name: LossName):
    truth = masks()
    loss = make_loss(name)
    noise = np.random.default_rng(1).normal(0, 1, truth.shape)
    values = [value(loss, truth, (2 * truth - 1) * scale + noise) for scale in (-2, 0, 2, 6)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("truth", [np.zeros((2, 8, 8, 1)), np.ones((2, 8, 8, 1)), masks(2)])
@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
def test_values_stay_finite_at_extreme_logits(name: LossName, truth: np.ndarray, logit: float):
    assert np.isfinite(value(make_loss(name), truth.astype(np.float32), np.full(truth.shape, logit)))


@pytest.mark.parametrize("name", NAMES)
def test_a_tile_without_salt_rewards_predicting_none(name: LossName):
    truth = np.zeros((1, 8, 8, 1), np.float32)
    none, some = np.full(truth.shape, -6.0), np.full(truth.shape, -6.0)
    some[0, :4] = 3
    assert value(make_loss(name), truth, none) < value(make_loss(name), truth, some)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_tiles_does_not_matter(name: LossName):
    truth, logits = masks(4), np.random.default_rng(2).normal(0, 2, (4, 8, 8, 1))
    loss = make_loss(name)
    assert value(loss, truth, logits) == pytest.approx(value(loss, truth[::-1].copy(), logits[::-1].copy()), rel=1e-5)
