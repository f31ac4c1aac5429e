"""The cross-fitted score: no tile influences how it is scored."""

from __future__ import annotations

from dataclasses import asdict, astuple

import numpy as np
import pytest

from pipeline.config import SubmitSettings, UserError
from pipeline.scoring import bootstrap, metric, thresholding
from pipeline.scoring.validation import validate
from tests.conftest import blobs, noisy


def predicted(masks: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probabilities with a best threshold below a half."""
    return noisy(masks, seed, 20, rock=60, salt=180, patch=1)


def test_each_fold_is_scored_with_what_the_other_folds_choose():
    images, truth = blobs(90)
    folds = np.repeat([2, 0, 1], 30)
    found = predicted(truth)
    found[:50] = np.random.default_rng(1).normal(found[:50], 40).clip(0, 255)  # worse in some folds than in others
    result = validate([found], truth, images, folds, SubmitSettings(rules=()))
    counts = thresholding.count(found, truth)
    scores, areas = np.empty(90), np.empty(90, int)
    for fold in range(3):
        own = folds == fold
        choice = thresholding.search(counts.take(~own))
        masks = thresholding.apply(found[own], choice.threshold, choice.min_area)
        scores[own], areas[own] = metric.tile_scores(masks, truth[own]), masks.sum(axis=(1, 2))
    np.testing.assert_array_equal(result.tile_scores, scores)
    np.testing.assert_array_equal(result.predicted_area, areas)
    assert result.score == result.without_rules == pytest.approx(scores.mean())
    assert result.folds == {fold: pytest.approx(scores[folds == fold].mean()) for fold in range(3)}
    assert list(result.folds) == [2, 0, 1]
    assert result.spread == pytest.approx(np.std([*result.folds.values()], ddof=1))
    assert result.spread > 0.05
    assert result.interval == bootstrap.interval(scores)
    # The test tiles get what is chosen on all of them.
    assert (result.choice.threshold, result.choice.min_area) == astuple(thresholding.search(counts))[:2]
    assert result.at_half == pytest.approx(metric.score(found > 127, truth))


def test_no_tile_influences_how_it_is_scored():
    images, truth = blobs(60)
    folds = np.arange(60) // 3 % 3
    found = predicted(truth)
    other = found.copy()
    other[folds == 0] //= 2  # which needs half the threshold
    before, after = (validate([each], truth, images, folds, SubmitSettings(rules=())) for each in (found, other))
    of_fold = thresholding.search(thresholding.count(other, truth).take(folds == 0))
    assert of_fold.threshold < before.choice.threshold - 0.1
    of_others = thresholding.search(thresholding.count(found, truth).take(folds > 0))
    halved = thresholding.apply(other[folds == 0], of_others.threshold, of_others.min_area)
    np.testing.assert_array_equal(after.predicted_area[folds == 0], halved.sum(axis=(1, 2)))
    assert after.folds[0] < before.folds[0]


@pytest.mark.parametrize("threshold", [0.02, 0.98])
def test_the_weights_of_a_blend_are_chosen_at_a_given_threshold_near_the_ends(threshold: float):
    images, truth = blobs(60)
    right = np.where(truth > 0, 255, 0).astype(np.uint8)
    wrong = np.random.default_rng(0).integers(0, 256, truth.shape).astype(np.uint8)
    settings = SubmitSettings(threshold=threshold, min_area=0, rules=())
    result = validate([right, wrong], truth, images, np.arange(60) % 3, settings)
    assert result.votes == (1, 0)
    assert result.score == 1


def test_the_receipt_has_every_figure():
    images, truth = blobs(40)
    found = predicted(truth)
    found[0, 20:60, 20:60] = 150  # faint, and not salt
    settings = SubmitSettings(threshold=0.5, min_area=7, rules=("empty_gate",))
    result = validate([found], truth, images, np.arange(40) % 2, settings)
    plain = result.as_dict()
    assert result.without_rules < result.score
    assert result.interval == bootstrap.interval(result.tile_scores)
    assert plain.pop("gains") == [asdict(each) for each in result.gains]
    assert plain == {
        "score": result.score,
        "folds": {"0": result.folds[0], "1": result.folds[1]},
        "spread": result.spread,
        "interval": [*result.interval],
        "score_at_half": result.at_half,
        "score_without_rules": result.without_rules,
        "threshold": result.choice.threshold,
        "min_area": result.choice.min_area,
        "rules": ["empty_gate"],
        "gate": result.choice.gate,
        "tiles": 40,
        "iou": pytest.approx(result.tile_iou.mean()),
        "dice": result.dice,
        "empty_accuracy": result.empty_accuracy,
        "nothing": pytest.approx((truth.sum(axis=(1, 2)) == 0).mean()),
        "coverage": pytest.approx(truth.mean()),
        "predicted": pytest.approx(result.predicted_area.sum() / truth.size),
        "constant_folds": [],
    }


def test_the_cross_validated_score_is_the_mean_of_the_folds_and_no_better_than_choosing_on_all_tiles():
    images, truth = blobs(90)
    found = predicted(truth)
    result = validate([found], truth, images, np.repeat([0, 1, 2], 30), SubmitSettings())
    counts = thresholding.count(found, truth)
    assert result.score == pytest.approx(np.mean(list(result.folds.values())))
    assert result.score <= thresholding.search(counts).score + 1e-12
    assert result.score > result.at_half  # 60 + 120 is above a half of 255 only by chance
    assert result.interval[0] <= result.score <= result.interval[1]


def test_one_fold_is_cross_fitted_within_itself():
    images, truth = blobs(40)
    found = predicted(truth)
    result = validate([found], truth, images, np.full(40, 3), SubmitSettings())
    assert list(result.folds) == [3]
    assert result.spread == 0
    assert result.score > 0.8
    # The same as five folds: every fifth tile is scored with the choices of the others.
    parts = validate([found], truth, images, np.arange(40) % 5, SubmitSettings())
    np.testing.assert_array_equal(result.predicted_area, parts.predicted_area)
    assert result.score == parts.score
    halves = validate([found], truth, images, np.arange(40) % 2, SubmitSettings())
    assert (result.predicted_area != halves.predicted_area).any()


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
    found = np.concatenate([predicted(each, seed) for seed, each in enumerate(truth)])
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
    result = validate([predicted(truth)], truth, images, np.zeros(20, int), SubmitSettings(threshold=0.42, min_area=7))
    assert (result.choice.threshold, result.choice.min_area) == (0.42, 7)


def test_the_other_measures_are_those_of_the_same_masks():
    images, truth = blobs(30)
    found = predicted(truth)
    settings = SubmitSettings(threshold=0.5, min_area=100, rules=())
    result = validate([found], truth, images, np.zeros(30, int), settings)
    masks = thresholding.apply(found, 0.5, 100)
    np.testing.assert_allclose(result.tile_iou, metric.iou(masks, truth))
    np.testing.assert_array_equal(result.predicted_area, masks.sum(axis=(1, 2)))
    assert result.dice == pytest.approx(metric.dice(masks, truth).mean())
    assert result.empty_accuracy == metric.empty_accuracy(masks.sum(axis=(1, 2)), truth.sum(axis=(1, 2)))


def test_the_score_at_a_half_has_cross_fitted_weights():
    images, truth = blobs(60)
    folds = np.arange(60) // 3 % 2
    # In each fold another member is noise, so each fold chooses the member that is noise in the other one.
    members = [noisy(truth, seed, 20, rock=30, salt=230) for seed in (0, 1)]
    for fold, member in enumerate(members):
        member[folds == fold] = noisy(truth, fold, 60, rock=128, salt=128)[folds == fold]
    result = validate(members, truth, images, folds, SubmitSettings(rules=()))
    mean = np.mean(members, axis=0)
    assert metric.score(mean > 127, truth) > 0.3
    assert result.at_half < 0.1


def test_one_tile_is_too_few():
    images, truth = blobs(1)
    with pytest.raises(UserError, match=r"fold 4 has only one tile, .* lower split\.folds$"):
        validate([predicted(truth)], truth, images, np.array([4]), SubmitSettings())
