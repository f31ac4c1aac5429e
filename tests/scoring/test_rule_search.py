"""Only the rules with a gain beyond chance are used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.config import SubmitSettings
from pipeline.scoring import metric, postprocess, thresholding
from pipeline.scoring.images import is_constant
from pipeline.scoring.postprocess import ALL, PostProcessing
from pipeline.scoring.rule_search import GATE_LEVELS, Trial
from pipeline.scoring.validation import Validation, validate
from tests.conftest import blobs


def noisy(truth: np.ndarray, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.clip(truth * 100.0 + 70 + draw.normal(0, 25, truth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("named", [(), ("fill_holes",), ("drop_small_parts", "empty_gate"), ALL])
def test_a_trial_scores_the_masks_that_post_processing_makes(named: tuple[str, ...]):
    images, truth = blobs(24)
    images[3] = 0
    found = noisy(truth)
    found[4, :30, :30], found[4, 10:20, 10:20] = 255, 0  # a hole
    how = PostProcessing(0.5, 40, named, 0.7 if "empty_gate" in named else None)
    masks = postprocess.apply(found, images, how)
    trial = Trial(found, truth, is_constant(images), thresholding.count(found, truth), 0.5)
    np.testing.assert_array_equal(trial.scores(how), metric.tile_scores(masks, truth))
    np.testing.assert_array_equal(trial.areas(how)[0], masks.sum(axis=(1, 2)))
    if not named:
        np.testing.assert_array_equal(masks, thresholding.apply(found, 0.5, 40))
    if "constant_empty" in named:
        assert thresholding.apply(found, 0.5, 40)[3].any()
        assert not masks[3].any()


def validated(found: np.ndarray, truth: np.ndarray, images: np.ndarray, **settings) -> Validation:
    chosen = SubmitSettings(threshold=0.5, min_area=0, **settings)
    return validate([found], truth, images, np.arange(len(truth)) % 4, chosen)


def spoiled(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions that are right but for one kind of error, in every third tile: probabilities, masks, images."""
    images, truth = blobs(120)
    found = np.where(truth, 230, 20).astype(np.uint8)
    for index in range(0, 120, 3):  # in blobs, every third tile is empty
        if kind == "fill_holes":
            truth[index, 20:80, 20:80] = 1
            found[index, 20:80, 20:80] = 230
            found[index, 30:60, 30:60] = 20
        elif kind == "drop_small_parts":
            truth[index, 20:60, 20:60] = 1
            found[index, 20:60, 20:60] = 230
            found[index, 70:100:4, 5:100:4] = 230
        elif kind == "constant_empty":
            images[index] = 9
            found[index, 10:30] = 230
        elif kind == "empty_gate":
            found[index, 10:60] = 150
    return found, truth, images


@pytest.mark.parametrize("kind", ALL)
def test_a_rule_that_fixes_what_is_wrong_is_taken_with_its_gain(kind: str):
    found, truth, images = spoiled(kind)
    result = validated(found, truth, images)
    assert kind in result.choice.rules
    first = result.gains[0]
    assert (first.rule, first.taken) == (kind, True)
    assert 0 < first.low < first.gain < first.high
    assert result.score == 1.0
    assert result.score - result.without_rules == pytest.approx(first.gain, abs=0.01)
    assert validated(found, truth, images, rules=()).score == result.without_rules
    np.testing.assert_array_equal(postprocess.apply(found, images, result.choice), truth > 0)


def test_without_a_gain_beyond_chance_no_rule_is_taken():
    for seed in range(6):
        images, truth = blobs(90, seed)
        found = np.where(truth, 230, 20).astype(np.uint8)
        result = validated(found, truth, images)
        assert result.choice == PostProcessing(0.5, 0)
        assert [gain.taken for gain in result.gains] == [False] * len(ALL)
        # Three tiles of ninety with a hole: a gain, but not one that is significant.
        for index in (1, 31, 61):
            row, column = np.argwhere(truth[index]).mean(axis=0).astype(int)
            found[index, row - 8 : row + 8, column - 8 : column + 8] = 20
        result = validated(found, truth, images)
        assert result.gains[0].gain > 0
        assert result.choice.rules == ()


def test_a_level_that_is_good_by_chance_is_not_taken():
    # Confidence is unrelated to the truth here: any level loses as many tiles as it wins.
    draw = np.random.default_rng(0)
    images, truth = blobs(60)
    gains = []
    for _ in range(20):
        truth[:] = 0
        truth[draw.random(60) < 0.5, 20:60, 20:60] = 1
        found = np.full(truth.shape, 20, np.uint8)
        found[:, 20:60, 20:60] = draw.integers(140, 250, 60)[:, None, None]
        gains += [gain for gain in validated(found, truth, images).gains if gain.rule == "empty_gate"]
    assert sum(gain.taken for gain in gains) <= 1
    # The level that is best on the tiles themselves never loses: one of them leaves every tile as it is.
    assert min(gain.gain for gain in gains) < 0
    assert np.mean([gain.gain for gain in gains]) < 0.01


def test_the_rules_of_a_fold_are_chosen_on_the_others():
    # Only the tiles of fold 0 have holes, and their rules are chosen on the other folds.
    found, truth, images = spoiled("fill_holes")
    folds = np.where(np.arange(120) % 3 == 0, 0, 1 + np.arange(120) % 2)
    result = validate([found], truth, images, folds, SubmitSettings(threshold=0.5, min_area=0))
    assert "fill_holes" in result.choice.rules
    assert result.folds[0] < 0.7
    assert result.folds[0] == pytest.approx(metric.score(found[folds == 0] > 127, truth[folds == 0]))


def test_named_rules_are_taken_whatever_they_gain():
    images, truth = blobs(60)
    found = np.where(truth, 230, 20).astype(np.uint8)
    result = validated(found, truth, images, rules=("fill_holes", "empty_gate"))
    assert result.choice == replace(PostProcessing(0.5, 0), rules=("fill_holes", "empty_gate"), gate=result.choice.gate)
    assert result.choice.gate in GATE_LEVELS
    assert [gain.taken for gain in result.gains] == [True, True]
    assert validated(found, truth, images, rules=()).gains == []
