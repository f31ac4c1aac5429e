"""Dice by hand; the Lovász hinge against the paper's text."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.network.losses import make_loss
from pipeline.network.losses.overlap import LovaszHinge
from tests.network.losses.helpers import masks, value

pytestmark = pytest.mark.backends


def test_dice_by_hand():
    truth = np.zeros((1, 2, 2, 1), np.float32)
    truth[0, 0, 0] = 1
    assert value(make_loss("dice"), truth, np.zeros(truth.shape)) == pytest.approx(1 - (2 * 0.5 + 1) / (1 + 2 + 1))


def slow_lovasz(truth: np.ndarray, logits: np.ndarray) -> float:
    """The paper's loss of one tile step by step: sorted errors, each weighted by what it adds to the Jaccard loss."""
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
    # A logit of -1 where 1 is correct has the error 2, a correct one has 0.
    assert value(LovaszHinge(elu=False), truth, 2 * predicted - 1) == pytest.approx(2 * (1 - iou), rel=1e-5)


def test_lovasz_with_elu_keeps_a_gradient_where_every_pixel_is_correct():
    truth = masks(1)
    correct, confident = (2 * truth - 1) * 2, (2 * truth - 1) * 3
    assert value(LovaszHinge(elu=False), truth, correct) == value(LovaszHinge(elu=False), truth, confident) == 0
    assert value(LovaszHinge(), truth, confident) < value(LovaszHinge(), truth, correct)


def test_the_symmetric_lovasz_treats_salt_and_background_equally():
    truth, logits = masks(4), np.random.default_rng(2).normal(0, 2, (4, 8, 8, 1))
    loss, one_sided = make_loss("symmetric_lovasz"), make_loss("lovasz")
    assert value(loss, truth, logits) == pytest.approx(value(loss, 1 - truth, -logits), rel=1e-5)
    assert value(one_sided, truth, logits) != pytest.approx(value(one_sided, 1 - truth, -logits), rel=1e-3)
