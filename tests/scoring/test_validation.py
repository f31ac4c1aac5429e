"""The cross-fitted score: no tile influences how it is scored."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import SubmitSettings
from pipeline.scoring import metric, thresholding
from pipeline.scoring.validation import validate
from tests.conftest import blobs


def noisy(masks: np.ndarray, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.clip(masks * 120.0 + 60 + draw.normal(0, 20, masks.shape), 0, 255).astype(np.uint8)


def test_the_cross_validated_score_is_the_mean_of_the_folds_and_no_better_than_choosing_on_all_tiles():
    images, truth = blobs(90)
    found = noisy(truth, 0)
    result = validate([found], truth, images, np.repeat([0, 1, 2], 30), SubmitSettings())
    counts = thresholding.count(found, truth)
    assert result.score == pytest.approx(np.mean(list(result.folds.values())))
    assert result.score <= thresholding.search(counts).score + 1e-12
    assert result.score > result.at_half  # 60 + 120 is above a half of 255 only by chance
    assert result.interval[0] <= result.score <= result.interval[1]


def test_one_fold_is_cross_fitted_within_itself():
    images, truth = blobs(40)
    result = validate([noisy(truth, 0)], truth, images, np.full(40, 3), SubmitSettings())
    assert list(result.folds) == [3]
    assert result.spread == 0
    assert result.score > 0.8


@pytest.mark.parametrize(
    "truth",
    [
        [np.zeros((4, 101, 101), np.uint8), blobs(4)[1]],
        [np.zeros((4, 101, 101), np.uint8), np.zeros((4, 101, 101), np.uint8)],
        [blobs(9)[1][[1, 2, 4]], blobs(9)[1][[5, 7, 8]]],
        [blobs(2)[1][:1], blobs(2)[1][1:]],
    ],
    ids=["a fold without salt", "no salt at all", "no empty tile", "two folds of one tile"],
)
def test_folds_of_one_kind_have_a_score_within_bounds(truth: list[np.ndarray]):
    folds = np.repeat([0, 1], [len(each) for each in truth])
    whole = np.concatenate(truth)
    found = np.concatenate([noisy(each, seed) for seed, each in enumerate(truth)])
    result = validate([found], whole, np.zeros_like(whole), folds, SubmitSettings())
    plain = result.as_dict()
    numbers = [plain[name] for name in ("score", "score_at_half", "iou", "dice", "empty_accuracy")]
    assert all(0 <= each <= 1 for each in [*numbers, *plain["folds"].values(), *plain["interval"]])
    assert np.isfinite(plain["spread"])
    if not any(each.any() for each in truth):
        assert result.score == 1  # predicting nothing is right, and the search finds it


@pytest.mark.filterwarnings("error")
def test_a_handful_of_tiles_is_enough():
    images, truth = blobs(2)
    for members in ([truth * 200], [truth * 200, truth * 100]):
        result = validate(members, truth, images, np.arange(2), SubmitSettings())
        assert result.choice.rules == ()
        assert 0 <= result.score <= 1


def test_a_given_threshold_is_used():
    images, truth = blobs(20)
    result = validate([noisy(truth, 0)], truth, images, np.zeros(20, int), SubmitSettings(threshold=0.42, min_area=7))
    assert (result.choice.threshold, result.choice.min_area) == (0.42, 7)


def test_the_other_measures_are_those_of_the_same_masks():
    images, truth = blobs(30)
    found = noisy(truth, 0)
    settings = SubmitSettings(threshold=0.5, min_area=100, rules=())
    result = validate([found], truth, images, np.zeros(30, int), settings)
    masks = thresholding.apply(found, 0.5, 100)
    np.testing.assert_allclose(result.tile_iou, metric.iou(masks, truth))
    np.testing.assert_array_equal(result.predicted_area, masks.sum(axis=(1, 2)))
    assert result.dice == pytest.approx(metric.dice(masks, truth).mean())
    assert result.empty_accuracy == metric.empty_accuracy(masks.sum(axis=(1, 2)), truth.sum(axis=(1, 2)))
