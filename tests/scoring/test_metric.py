"""The competition's score, compared with a literal reading of its definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.scoring import metric, thresholding

PROPERTY = settings(deadline=None, max_examples=60)
SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape)))


def literal_score(predicted: np.ndarray, truth: np.ndarray) -> float:
    """The Evaluation page, word by word, with exact fractions."""
    if not truth.any():
        return 0.0 if predicted.any() else 1.0
    if not predicted.any():
        return 0.0
    share = Fraction(int((predicted & truth).sum()), int((predicted | truth).sum()))
    return sum(share > Fraction(percent, 100) for percent in range(50, 100, 5)) / 10


@PROPERTY
@given(PAIRS)
def test_tile_scores_are_the_literal_reading(masks: tuple[np.ndarray, np.ndarray]) -> None:
    expected = [literal_score(predicted, truth) for predicted, truth in zip(*masks, strict=True)]
    assert metric.tile_scores(*masks).tolist() == expected
    assert metric.score(*masks) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("percent", range(50, 100, 5))
def test_an_iou_equal_to_a_threshold_does_not_exceed_it(percent: int) -> None:
    truth = np.ones((1, 10, 10), bool)
    at = (np.arange(100) < percent).reshape(1, 10, 10)
    above = (np.arange(100) <= percent).reshape(1, 10, 10)
    assert metric.tile_scores(at, truth).tolist() == [(percent - 50) / 50]
    assert metric.tile_scores(above, truth).tolist() == [(percent - 45) / 50]


@pytest.mark.parametrize("union", [20, 101 * 101])
def test_every_iou_is_graded_exactly(union: int) -> None:
    intersections = np.arange(union + 1)
    expected = [sum(20 * i > k * union for k in range(10, 20)) / 10 for i in range(union + 1)]
    assert metric.scores_from_areas(np.full(union + 1, union), intersections, intersections).tolist() == expected


def test_tiles_without_salt() -> None:
    nothing, something = np.zeros((1, 3, 3), np.uint8), np.eye(3, dtype=np.uint8)[None] * 255
    assert metric.tile_scores(nothing, nothing).tolist() == [1.0]
    assert metric.tile_scores(something, nothing).tolist() == [0.0]
    assert metric.tile_scores(nothing, something).tolist() == [0.0]
    assert metric.tile_scores(something, something).tolist() == [1.0]


@pytest.mark.parametrize("salt", [1, 2, 255])
def test_every_value_but_zero_is_salt(salt: int) -> None:
    predicted, truth = np.array([[[0, salt, salt, salt]]], np.uint8), np.array([[[0, 0, salt, salt]]], np.uint8)
    for masks in ((predicted, truth), (predicted > 0, truth), (predicted, truth > 0)):
        assert [each.tolist() for each in metric.mask_areas(*masks)] == [[3], [2], [2]]
        assert metric.tile_scores(*masks).tolist() == [0.4]
        assert metric.iou(*masks).tolist() == [2 / 3]
        assert metric.dice(*masks).tolist() == [4 / 5]
    probabilities = np.where(predicted, np.uint8(255), np.uint8(0))
    assert thresholding.scores_at(thresholding.count(probabilities, truth), 0.5, 0).tolist() == [0.4]


def test_thresholds_are_the_competition_s() -> None:
    assert metric.THRESHOLDS.tolist() == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


@PROPERTY
@given(PAIRS)
def test_iou_and_dice(masks: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, truth = masks
    for tile, (share, overlap) in enumerate(zip(metric.iou(*masks), metric.dice(*masks), strict=True)):
        both, either = (predicted[tile] & truth[tile]).sum(), (predicted[tile] | truth[tile]).sum()
        assert share == (both / either if either else 1.0)
        assert overlap == pytest.approx(2 * both / (both + either) if either else 1.0)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        metric.tile_scores(np.zeros((2, 3, 3), bool), np.zeros((1, 3, 3), bool))


def test_no_tiles_have_no_mean_score() -> None:
    nothing = np.zeros((0, 3, 3), np.uint8)
    with pytest.raises(ValueError, match="no tiles"):
        metric.score(nothing, nothing)


def test_empty_accuracy_and_confusion() -> None:
    predicted, truth = np.array([0, 5, 0, 9, 1, 3]), np.array([0, 0, 7, 9, 2, 0])
    assert metric.empty_accuracy(predicted, truth) == 3 / 6
    assert metric.empty_confusion(predicted, truth).tolist() == [[1, 2], [1, 2]]
