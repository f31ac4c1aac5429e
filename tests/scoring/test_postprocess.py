"""Rules after the threshold: what each does to a mask, and that only those with a real gain are taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from pipeline.config import SubmitSettings
from pipeline.scoring import metric, thresholding
from pipeline.scoring import postprocess as rules
from pipeline.scoring.postprocess import ALL, GATE_PIXELS, PostProcessing, Trial
from pipeline.scoring.validation import validate
from tests.conftest import blobs

EIGHT = np.ones((3, 3))


def random_masks(count: int = 30) -> np.ndarray:
    """Masks full of holes and parts, up to their borders; the first is empty, the second full."""
    draw = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(draw.normal(size=(count, 40, 40)), (0, 1.5, 1.5))
    masks = noise > np.linspace(-0.2, 0.2, count)[:, None, None]
    masks[0], masks[1] = False, True
    return masks


def dropped(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask, EIGHT)
    sizes = ndimage.sum(mask, labels, range(1, count + 1))
    return np.isin(labels, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())) if count else mask


def test_holes_are_filled_as_scipy_fills_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rules, "CHUNK", 7)
    masks = random_masks()
    expected = np.stack([ndimage.binary_fill_holes(mask) for mask in masks])
    assert (expected != masks).any()
    np.testing.assert_array_equal(rules.fill_holes(masks), expected)


def test_parts_below_a_tenth_of_the_largest_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rules, "CHUNK", 7)
    masks = random_masks()
    expected = np.stack([dropped(mask) for mask in masks])
    assert (expected != masks).any()
    np.testing.assert_array_equal(rules.drop_small_parts(masks), expected)
    assert not rules.drop_small_parts(np.zeros((0, 5, 5), bool)).size


def test_constant_images_and_faint_tiles_are_told():
    images = np.full((3, 10, 10), 7, np.uint8)
    images[1, 0, 0] = 8
    assert rules.constant(images).tolist() == [True, False, True]
    probabilities = np.zeros((3, 10, 10), np.uint8)
    probabilities[0].flat[:GATE_PIXELS] = 210  # above 0.8
    probabilities[1].flat[: GATE_PIXELS - 1] = 255
    probabilities[2].flat[:50] = 204  # 0.8 itself
    assert rules.faint(probabilities, 0.8).tolist() == [False, True, True]


def noisy(truth: np.ndarray, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.clip(truth * 100.0 + 70 + draw.normal(0, 25, truth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("named", [(), ("fill_holes",), ("drop_small_parts", "empty_gate"), ALL])
def test_what_is_scored_is_what_is_drawn(named: tuple[str, ...]):
    images, truth = blobs(24)
    images[3] = 0
    found = noisy(truth)
    found[4, :30, :30], found[4, 10:20, 10:20] = 255, 0  # a hole
    how = PostProcessing(0.5, 40, named, 0.7 if "empty_gate" in named else None)
    drawn = rules.apply(found, images, how)
    trial = Trial(found, truth, rules.constant(images), thresholding.count(found, truth), 0.5)
    np.testing.assert_array_equal(trial.scores(how), metric.tile_scores(drawn, truth))
    np.testing.assert_array_equal(trial.areas(how)[0], drawn.sum(axis=(1, 2)))
    if not named:
        np.testing.assert_array_equal(drawn, thresholding.apply(found, 0.5, 40))
    if "constant_empty" in named:
        assert thresholding.apply(found, 0.5, 40)[3].any()
        assert not drawn[3].any()


def told(found: np.ndarray, truth: np.ndarray, images: np.ndarray, **settings):
    chosen = SubmitSettings(threshold=0.5, min_area=0, **settings)
    return validate([found], truth, images, np.arange(len(truth)) % 4, chosen)


def spoilt(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
def test_a_rule_that_mends_what_is_wrong_is_taken_and_the_score_that_it_gains_is_told(kind: str):
    found, truth, images = spoilt(kind)
    result = told(found, truth, images)
    assert kind in result.choice.rules
    first = result.gains[0]
    assert (first.rule, first.taken) == (kind, True)
    assert 0 < first.low < first.gain < first.high
    assert result.score == 1.0
    assert result.score - result.without_rules == pytest.approx(first.gain, abs=0.01)
    assert told(found, truth, images, rules=()).score == result.without_rules
    with_what_was_chosen = rules.apply(found, images, result.choice)
    np.testing.assert_array_equal(with_what_was_chosen, truth > 0)


def test_with_no_gain_beyond_chance_nothing_is_taken():
    for seed in range(6):
        images, truth = blobs(90, seed)
        found = np.where(truth, 230, 20).astype(np.uint8)
        result = told(found, truth, images)
        assert result.choice == PostProcessing(0.5, 0)
        assert [gain.taken for gain in result.gains] == [False] * len(ALL)
        # Three tiles of ninety with a hole: a gain, but one that another draw of tiles would not have.
        for index in (1, 31, 61):
            row, column = np.argwhere(truth[index]).mean(axis=0).astype(int)
            found[index, row - 8 : row + 8, column - 8 : column + 8] = 20
        result = told(found, truth, images)
        assert result.gains[0].gain > 0
        assert result.choice.rules == ()


def test_a_level_that_is_good_by_luck_is_not_taken():
    # Confidence says nothing of the truth here: for any level there are as many tiles to lose as to win.
    draw = np.random.default_rng(0)
    images, truth = blobs(60)
    gains = []
    for _ in range(20):
        truth[:] = 0
        truth[draw.random(60) < 0.5, 20:60, 20:60] = 1
        found = np.full(truth.shape, 20, np.uint8)
        found[:, 20:60, 20:60] = draw.integers(140, 250, 60)[:, None, None]
        gains += [gain for gain in told(found, truth, images).gains if gain.rule == "empty_gate"]
    assert sum(gain.taken for gain in gains) <= 1
    # The level that is best on the tiles themselves never loses: one of them leaves every tile as it is.
    assert min(gain.gain for gain in gains) < 0
    assert np.mean([gain.gain for gain in gains]) < 0.01


def test_the_rules_of_a_fold_are_chosen_on_the_others():
    # Only the tiles of fold 0 have holes, and they have no say in how they are scored.
    found, truth, images = spoilt("fill_holes")
    dealt = np.where(np.arange(120) % 3 == 0, 0, 1 + np.arange(120) % 2)
    result = validate([found], truth, images, dealt, SubmitSettings(threshold=0.5, min_area=0))
    assert "fill_holes" in result.choice.rules
    assert result.folds[0] < 0.7
    assert result.folds[0] == pytest.approx(metric.score(found[dealt == 0] > 127, truth[dealt == 0]))


def test_rules_that_are_named_are_taken_gain_or_not():
    images, truth = blobs(60)
    found = np.where(truth, 230, 20).astype(np.uint8)
    result = told(found, truth, images, rules=("fill_holes", "empty_gate"))
    assert result.choice == replace(PostProcessing(0.5, 0), rules=("fill_holes", "empty_gate"), gate=result.choice.gate)
    assert result.choice.gate in rules.GATE_LEVELS
    assert [gain.taken for gain in result.gains] == [True, True]
    assert told(found, truth, images, rules=()).gains == []
