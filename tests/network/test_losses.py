"""Losses: known values, a better prediction has a smaller loss, and gradients that stay finite."""

from __future__ import annotations

from typing import get_args

import keras
import numpy as np
import pytest

from pipeline.config import LossName, NetworkSettings
from pipeline.network.losses import LovaszHinge, border_weights, make_loss

pytestmark = pytest.mark.backends
NAMES = get_args(LossName)


def masks(count: int = 3, side: int = 8, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, side, side, 1)) > 0.6).astype(np.float32)


def value(loss: keras.losses.Loss, truth: np.ndarray, logits: np.ndarray) -> float:
    return float(loss(truth, logits.astype(np.float32)))


@pytest.mark.parametrize("name", NAMES)
def test_a_better_prediction_has_a_smaller_loss(name: LossName):
    truth = masks()
    loss = make_loss(name)
    noise = np.random.default_rng(1).normal(0, 1, truth.shape)
    values = [value(loss, truth, (2 * truth - 1) * sure + noise) for sure in (-2, 0, 2, 6)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("truth", [np.zeros((2, 8, 8, 1)), np.ones((2, 8, 8, 1)), masks(2)])
@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
def test_values_stay_finite_at_the_ends(name: LossName, truth: np.ndarray, logit: float):
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


def test_the_symmetric_lovasz_takes_salt_and_background_alike():
    truth, logits = masks(4), np.random.default_rng(2).normal(0, 2, (4, 8, 8, 1))
    loss, one_sided = make_loss("symmetric_lovasz"), make_loss("lovasz")
    assert value(loss, truth, logits) == pytest.approx(value(loss, 1 - truth, -logits), rel=1e-5)
    assert value(one_sided, truth, logits) != pytest.approx(value(one_sided, 1 - truth, -logits), rel=1e-3)


def test_supervised_adds_the_head_and_each_coarser_level():
    truth, draw = masks(3), np.random.default_rng(2)
    truth[0] = 0
    logits, coarse, coarsest = draw.normal(0, 2, (3, 3, 8, 8, 1))
    tile = np.array([-3.0, 2.0, 0.5])
    spread = np.broadcast_to(tile[:, None, None, None], logits.shape)
    network = NetworkSettings(empty_head=0.3, deep_supervision=0.2)
    told = value(make_loss("bce_dice", network), truth, np.concatenate([logits, spread, coarse, coarsest], -1))
    plain = make_loss("bce_dice")
    head = np.mean(np.log1p(np.exp(-tile * np.array([-1, 1, 1]))))
    # A level of half the size counts with a quarter of its pixels, and so on.
    levels = [
        value(plain, truth[:, ::2, ::2], coarse[:, ::2, ::2]),
        value(plain, truth[:, ::4, ::4], coarsest[:, ::4, ::4]),
    ]
    assert told == pytest.approx(value(plain, truth, logits) + 0.3 * head + 0.2 * sum(levels), rel=1e-5)


def test_crossentropy_by_hand():
    truth = np.array([1.0, 0.0]).reshape(1, 1, 2, 1).astype(np.float32)
    logits = np.array([2.0, -1.0]).reshape(1, 1, 2, 1)
    expected = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(-1))) / 2
    assert value(make_loss("bce"), truth, logits) == pytest.approx(expected, rel=1e-5)


def test_focal_by_hand():
    truth = np.ones((1, 1, 1, 1), np.float32)
    chance = 1 / (1 + np.exp(-0.5))
    expected = -((1 - chance) ** 2) * np.log(chance)
    assert value(make_loss("focal"), truth, np.full((1, 1, 1, 1), 0.5)) == pytest.approx(expected, rel=1e-5)


def test_dice_by_hand():
    truth = np.zeros((1, 2, 2, 1), np.float32)
    truth[0, 0, 0] = 1
    assert value(make_loss("dice"), truth, np.zeros(truth.shape)) == pytest.approx(1 - (2 * 0.5 + 1) / (1 + 2 + 1))


def slow_lovasz(truth: np.ndarray, logits: np.ndarray) -> float:
    """The paper's loss of one tile as its text reads: errors, sorted, weighed by what each adds to the Jaccard loss."""
    errors = np.maximum(1 - logits * (2 * truth - 1), 0)
    total, wrong, previous = 0.0, np.zeros(len(truth), bool), 0.0
    for index in np.argsort(-errors, kind="stable"):
        wrong[index] = True
        predicted = np.where(wrong, 1 - truth, truth)
        union = np.maximum(predicted, truth).sum()
        jaccard = 1 - (predicted * truth).sum() / union if union else 0.0
        total += errors[index] * (jaccard - previous)
        previous = jaccard
    return total


def test_lovasz_is_the_papers():
    for seed in range(5):
        truth = masks(1, 5, seed)
        logits = np.random.default_rng(seed).normal(0, 2, truth.shape)
        expected = slow_lovasz(truth.ravel(), logits.ravel())
        assert value(LovaszHinge(elu=False), truth, logits) == pytest.approx(expected, rel=1e-4)


def test_lovasz_at_hard_predictions_is_twice_the_jaccard_loss():
    truth = masks(1)
    predicted = truth.copy()
    predicted[0, :3] = 1 - predicted[0, :3]
    iou = (truth * predicted).sum() / np.maximum(truth, predicted).sum()
    # A logit of -1 where 1 would be right has the error 2, a right one has 0.
    assert value(LovaszHinge(elu=False), truth, 2 * predicted - 1) == pytest.approx(2 * (1 - iou), rel=1e-5)


def test_lovasz_keeps_a_gradient_where_everything_is_right_by_elu():
    truth = masks(1)
    right, surer = (2 * truth - 1) * 2, (2 * truth - 1) * 3
    assert value(LovaszHinge(elu=False), truth, right) == value(LovaszHinge(elu=False), truth, surer) == 0
    assert value(LovaszHinge(), truth, surer) < value(LovaszHinge(), truth, right)


def test_border_weights_are_highest_between_two_bodies():
    mask = np.zeros((40, 40), np.uint8)
    mask[5:35, 5:18], mask[5:35, 22:35] = 1, 1
    weights = border_weights(mask)
    assert weights.shape == mask.shape
    assert weights.dtype == np.float32
    gap, outside, corner = weights[20, 20], weights[20, 3], weights[0, 0]
    assert gap > outside
    assert gap > corner
    assert gap == pytest.approx(0.5 / (1 - mask.mean()) + 10 * np.exp(-(5**2) / 50), rel=0.05)


def test_border_weights_of_one_body_rise_towards_its_rim_and_of_none_are_flat():
    mask = np.zeros((40, 40), np.uint8)
    assert len(np.unique(border_weights(mask))) == 1
    mask[15:25, 15:25] = 1
    weights = border_weights(mask)
    assert weights[20, 14] > weights[20, 10] > weights[20, 0]
    assert weights[20, 20] == pytest.approx(2.0)  # the rare class weighs more, but not without bound
