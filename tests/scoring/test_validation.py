"""The cross-fitted score: no tile has a say in how it is scored."""

from __future__ import annotations

from dataclasses import asdict, astuple

import numpy as np
import pytest

from pipeline.config import SubmitSettings
from pipeline.scoring import metric
from pipeline.scoring.validation import validate
from tests.conftest import blobs


def noisy(masks: np.ndarray, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.clip(masks * 120.0 + 60 + draw.normal(0, 20, masks.shape), 0, 255).astype(np.uint8)


def test_each_fold_is_scored_with_what_the_other_folds_choose():
    images, truth = blobs(90)
    dealt = np.repeat([2, 0, 1], 30)
    found = noisy(truth, 0)
    found[:50] = np.random.default_rng(1).normal(found[:50], 40).clip(0, 255)  # worse in some folds than in others
    told = validate([found], truth, images, dealt, SubmitSettings(rules=()))
    counts = metric.count(found, truth)
    scores, areas = np.empty(90), np.empty(90, int)
    for fold in range(3):
        own = dealt == fold
        choice = metric.search(counts.take(~own))
        masks = metric.apply(found[own], choice.threshold, choice.min_area)
        scores[own], areas[own] = metric.tile_scores(masks, truth[own]), masks.sum(axis=(1, 2))
    np.testing.assert_array_equal(told.tile_scores, scores)
    np.testing.assert_array_equal(told.predicted_area, areas)
    assert told.score == told.without_rules == pytest.approx(scores.mean())
    assert told.folds == {fold: pytest.approx(scores[dealt == fold].mean()) for fold in range(3)}
    assert list(told.folds) == [2, 0, 1]
    assert told.spread == pytest.approx(np.std([*told.folds.values()], ddof=1))
    assert told.spread > 0.05
    assert told.interval == metric.bootstrap(scores)
    # What the test tiles get is chosen on all of them.
    assert (told.choice.threshold, told.choice.min_area) == astuple(metric.search(counts))[:2]
    assert told.at_half == pytest.approx(metric.score(found > 127, truth))


def test_no_tile_has_a_say_in_how_it_is_scored():
    images, truth = blobs(60)
    dealt = np.arange(60) // 3 % 3
    found = noisy(truth, 0)
    other = found.copy()
    other[dealt == 0] //= 2  # which needs a threshold of half the height
    before, after = (validate([each], truth, images, dealt, SubmitSettings(rules=())) for each in (found, other))
    assert metric.search(metric.count(other, truth).take(dealt == 0)).threshold < before.choice.threshold - 0.1
    own = metric.search(metric.count(found, truth).take(dealt > 0))
    halved = metric.apply(other[dealt == 0], own.threshold, own.min_area)
    np.testing.assert_array_equal(after.predicted_area[dealt == 0], halved.sum(axis=(1, 2)))
    assert after.folds[0] < before.folds[0]


def test_the_receipt_has_every_figure():
    images, truth = blobs(40)
    found = noisy(truth, 0)
    found[0, 20:60, 20:60] = 150  # faint, and not there
    settings = SubmitSettings(threshold=0.5, min_area=7, rules=("empty_gate",))
    told = validate([found], truth, images, np.arange(40) % 2, settings)
    plain = told.as_dict()
    assert told.without_rules < told.score
    assert told.interval == metric.bootstrap(told.tile_scores)
    assert plain.pop("gains") == [asdict(each) for each in told.gains]
    assert plain == {
        "score": told.score,
        "folds": {"0": told.folds[0], "1": told.folds[1]},
        "spread": told.spread,
        "interval": [*told.interval],
        "score_at_half": told.at_half,
        "score_without_rules": told.without_rules,
        "threshold": told.choice.threshold,
        "min_area": told.choice.min_area,
        "rules": ["empty_gate"],
        "gate": told.choice.gate,
        "tiles": 40,
        "iou": pytest.approx(told.tile_iou.mean()),
        "dice": told.dice,
        "empty_accuracy": told.empty_accuracy,
        "nothing": pytest.approx((truth.sum(axis=(1, 2)) == 0).mean()),
    }


def test_one_fold_is_cross_fitted_within_itself():
    images, truth = blobs(40)
    found = noisy(truth, 0)
    told = validate([found], truth, images, np.full(40, 3), SubmitSettings())
    assert list(told.folds) == [3]
    assert told.spread == 0
    assert told.score > 0.8
    # As five folds would be: every fifth tile is scored with what the others choose.
    parts = validate([found], truth, images, np.arange(40) % 5, SubmitSettings())
    np.testing.assert_array_equal(told.predicted_area, parts.predicted_area)
    assert told.score == parts.score
    halves = validate([found], truth, images, np.arange(40) % 2, SubmitSettings())
    assert (told.predicted_area != halves.predicted_area).any()


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
    dealt = np.repeat([0, 1], [len(each) for each in truth])
    whole = np.concatenate(truth)
    found = np.concatenate([noisy(each, seed) for seed, each in enumerate(truth)])
    told = validate([found], whole, np.zeros_like(whole), dealt, SubmitSettings())
    plain = told.as_dict()
    numbers = [plain[name] for name in ("score", "score_at_half", "iou", "dice", "empty_accuracy")]
    assert all(0 <= each <= 1 for each in [*numbers, *plain["folds"].values(), *plain["interval"]])
    assert np.isfinite(plain["spread"])
    if not any(each.any() for each in truth):
        assert told.score == 1  # predicting nothing is right, and found


@pytest.mark.filterwarnings("error")
def test_a_handful_of_tiles_is_enough():
    images, truth = blobs(2)
    for members in ([truth * 200], [truth * 200, truth * 100]):
        told = validate(members, truth, images, np.arange(2), SubmitSettings())
        assert told.choice.rules == ()
        assert 0 <= told.score <= 1


def test_a_threshold_that_is_given_is_taken():
    images, truth = blobs(20)
    told = validate([noisy(truth, 0)], truth, images, np.zeros(20, int), SubmitSettings(threshold=0.42, min_area=7))
    assert (told.choice.threshold, told.choice.min_area) == (0.42, 7)


def test_the_other_measures_are_those_of_the_same_masks():
    images, truth = blobs(30)
    found = noisy(truth, 0)
    settings = SubmitSettings(threshold=0.5, min_area=100, rules=())
    told = validate([found], truth, images, np.zeros(30, int), settings)
    masks = metric.apply(found, 0.5, 100)
    np.testing.assert_allclose(told.tile_iou, metric.iou(masks, truth))
    np.testing.assert_array_equal(told.predicted_area, masks.sum(axis=(1, 2)))
    assert told.dice == pytest.approx(metric.dice(masks, truth).mean())
    assert told.empty_accuracy == metric.empty_accuracy(masks.sum(axis=(1, 2)), truth.sum(axis=(1, 2)))
