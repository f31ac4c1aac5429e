"""Only the rules with a gain beyond chance are used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.config import SubmitSettings
from pipeline.scoring import bootstrap, metric, postprocess, rule_search, thresholding
from pipeline.scoring.images import is_constant
from pipeline.scoring.neighbors import Neighbors
from pipeline.scoring.postprocess import ALL, GATE_PIXELS, PLAIN, PostProcessing
from pipeline.scoring.rule_search import GATE_LEVELS, Trial
from pipeline.scoring.validation import Validation, validate
from tests.conftest import blobs, noisy


@pytest.mark.parametrize("named", [(), ("fill_holes",), ("drop_small_parts", "empty_gate"), PLAIN])
def test_a_trial_scores_the_masks_that_post_processing_makes(named: tuple[str, ...]):
    images, truth = blobs(24)
    images[3] = 0
    found = noisy(truth, 0, 25, rock=70, salt=170, patch=1)
    found[4, :30, :30], found[4, 10:20, 10:20] = 255, 0  # a hole
    found[5:10] = truth[5:10] = 0
    found[5].flat[:40], found[6].flat[:39] = 255, 255  # with the smallest area, and one pixel less
    found[7, 5:15, 5:15], found[7, 6:14, 6:14] = 255, 0  # 36 pixels, and 100 without the hole
    found[8].flat[:50], found[8].flat[:GATE_PIXELS] = 150, 255  # as many pixels above the gate as there must be
    found[9].flat[:50], found[9].flat[: GATE_PIXELS - 1] = 150, 255
    truth[5:10] = found[5:10] > 0
    how = PostProcessing(0.5, 40, named, 0.7 if "empty_gate" in named else None)
    masks = postprocess.apply(found, images, how)
    trial = Trial(found, truth, is_constant(images), thresholding.count(found, truth), 0.5)
    np.testing.assert_array_equal(trial.scores(how), metric.tile_scores(masks, truth))
    np.testing.assert_array_equal(trial.areas(how)[0], masks.sum(axis=(1, 2)))
    filled, gated = "fill_holes" in named, "empty_gate" in named
    assert masks[5:10].any(axis=(1, 2)).tolist() == [True, False, filled, True, not gated]
    if not named:
        np.testing.assert_array_equal(masks, thresholding.apply(found, 0.5, 40))
    if "constant_empty" in named:
        assert thresholding.apply(found, 0.5, 40)[3].any()
        assert not masks[3].any()


@pytest.mark.parametrize("named", [("neighbor_empty",), ("empty_gate", "neighbor_border"), ALL, PLAIN])
def test_a_trial_scores_the_masks_of_tiles_with_labelled_neighbours(named: tuple[str, ...]):
    images, truth = blobs(24)
    images[3] = 0
    truth[12:, :, 30:50] = 1
    truth[15:18] = truth[15:18, :1]
    found = noisy(truth, 0, 25, rock=70, salt=170, patch=1)
    tiles = np.arange(24)
    neighbors = Neighbors(np.where(tiles % 4, tiles - 1, -1), np.where(tiles % 3, -1, (tiles + 1) % 24), tiles, truth)
    how = PostProcessing(0.5, 40, named, 0.7 if "empty_gate" in named else None)
    masks = postprocess.apply(found, images, how, neighbors)
    trial = Trial(found, truth, is_constant(images), thresholding.count(found, truth), 0.5, neighbors)
    np.testing.assert_array_equal(trial.scores(how), metric.tile_scores(masks, truth))
    np.testing.assert_array_equal(trial.areas(how)[0], masks.sum(axis=(1, 2)))
    changed = (masks != postprocess.apply(found, images, how)).any(axis=(1, 2))
    assert changed.any() == (named != PLAIN)


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


@pytest.mark.parametrize("kind", PLAIN)
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
        assert [gain.taken for gain in result.gains] == [False] * len(PLAIN)
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


class Known(Trial):
    """Scores of forty tiles that are given for each rule, independent of the other rules, and for each level."""

    def __init__(self, adds: dict[str, np.ndarray], levels: dict[float, float] | None = None) -> None:
        self._adds, self._levels = adds, levels or {}

    def scores(self, how: PostProcessing) -> np.ndarray:
        base = np.full(40, 0.2) + self._levels.get(how.gate or 0, 0)
        return base + sum(self._adds.get(rule, 0) for rule in how.rules)


def on(tiles: int, gain: float) -> np.ndarray:
    """A gain on some of forty tiles."""
    return np.where(np.arange(40) < tiles, gain, 0)


def chosen(trial: Trial, wanted: tuple[str, ...] | None = None) -> tuple[PostProcessing, list[rule_search.Gain]]:
    return rule_search.choose(trial, PostProcessing(0.5, 0), np.ones(40, bool), wanted)


def test_the_more_rules_can_be_taken_the_more_certain_each_must_be():
    assert rule_search.testable({"a": 12, "b": 0, "c": 5}) == (pytest.approx(0.95), {"a"})
    assert rule_search.testable({"a": 12, "b": 20, "c": 0}) == (pytest.approx(1 - 0.05 / 2), {"a", "b"})
    # All of seven tiles better: 1/128 is significant for three rules, 0.025 / 3, but there are four.
    assert rule_search.testable({"a": 12, "b": 20, "c": 9, "d": 7}) == (pytest.approx(1 - 0.05 / 4), {"a", "b", "c"})
    assert rule_search.testable({"a": 0, "b": 5})[1] == set()


def test_a_gain_is_a_mean_difference_with_an_interval_that_allows_for_the_rules_that_can_be_taken():
    difference = on(12, 0.1)
    _, gains = chosen(Known({"fill_holes": difference}))
    assert (gains[0].rule, gains[0].gain) == ("fill_holes", pytest.approx(0.03))
    assert (gains[0].low, gains[0].high) == pytest.approx(bootstrap.interval(difference))
    harm = {"drop_small_parts": on(20, -0.1), "constant_empty": on(9, -0.1)}
    _, gains = chosen(Known({"fill_holes": difference, **harm}))
    assert (gains[0].low, gains[0].high) == pytest.approx(bootstrap.interval(difference, level=1 - 0.05 / 3))
    assert (gains[0].low, gains[0].high) != pytest.approx(bootstrap.interval(difference))


def test_a_rule_that_changes_too_few_tiles_is_not_taken():
    how, gains = chosen(Known({"fill_holes": on(5, 0.8)}))  # one in 32 by chance
    assert how.rules == ()
    assert (gains[0].rule, gains[0].taken) == ("fill_holes", False)
    assert gains[0].low > 0
    assert chosen(Known({"fill_holes": on(6, 0.8)}))[0].rules == ("fill_holes",)


def test_a_significant_gain_goes_before_a_larger_one_that_may_be_chance():
    how, gains = chosen(Known({"fill_holes": on(2, 0.8), "drop_small_parts": on(12, 0.1)}))
    assert how.rules == ("drop_small_parts",)
    assert (gains[0].rule, gains[0].taken) == ("drop_small_parts", True)
    assert [gain.rule for gain in gains[1:]] == ["fill_holes", "constant_empty", "empty_gate"]
    assert gains[1].gain > gains[0].gain
    assert gains[1].low <= 0


def test_gains_are_listed_largest_first_and_rules_in_the_order_of_their_use():
    trial = Known({"fill_holes": on(20, 0.1), "drop_small_parts": on(20, 0.2)})
    how, gains = chosen(trial)
    assert [gain.rule for gain in gains if gain.taken] == ["drop_small_parts", "fill_holes"]
    assert how.rules == ("fill_holes", "drop_small_parts")
    # Named rules are tried in that order.
    how, gains = chosen(trial, ("drop_small_parts", "fill_holes"))
    assert [gain.rule for gain in gains] == ["fill_holes", "drop_small_parts"]
    assert how.rules == ("fill_holes", "drop_small_parts")


def test_the_lowest_of_equally_good_levels_is_taken():
    how, gains = chosen(Known({}, {0.6: 0.1, 0.7: 0.3, 0.8: 0.3, 0.9: 0.1}))
    assert (how.rules, how.gate) == (("empty_gate",), 0.7)
    assert gains[0].gain == pytest.approx(0.3)


def test_named_rules_are_taken_whatever_they_gain():
    images, truth = blobs(60)
    found = np.where(truth, 230, 20).astype(np.uint8)
    result = validated(found, truth, images, rules=("fill_holes", "empty_gate"))
    assert result.choice == replace(PostProcessing(0.5, 0), rules=("fill_holes", "empty_gate"), gate=result.choice.gate)
    assert result.choice.gate in GATE_LEVELS
    assert [gain.taken for gain in result.gains] == [True, True]
    assert validated(found, truth, images, rules=()).gains == []


# ---- Rules from labelled neighbours ---------------------------------------------------------------------------------


def chained(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, Neighbors]:
    """Predictions that are wrong in every third tile, where the mask of the tile above shows it.

    Returns:
        Probabilities, masks, images and neighbours of 120 tiles, whose neighbours have the same index modulo 4.
    """
    images, truth = blobs(120)
    wrong = np.arange(0, 120, 3)  # empty in blobs
    upper = (wrong + (12 if kind == "neighbor_empty" else 4)) % 120
    if kind == "neighbor_stripe":
        truth[wrong] = truth[upper] = (np.arange(101) < 20 + wrong[:, None] % 50)[:, None]
    elif kind == "neighbor_border":
        truth[upper, 60:], truth[upper, :30, 60:90] = 0, 1
        truth[wrong, :, 20:40] = truth[upper, :, 20:40] = 1
    found = np.where(truth, 230, 20).astype(np.uint8)
    if kind == "neighbor_stripe":
        found[wrong, ::3] = 20
    elif kind == "neighbor_border":
        found[wrong, :8, 40:90] = 230
    else:
        found[wrong, 20:60, 20:60] = 230
    above = np.full(120, -1)
    above[wrong] = upper
    return found, truth, images, Neighbors(above, np.full(120, -1), np.arange(120), truth.copy())


def with_neighbors(found: np.ndarray, truth: np.ndarray, images: np.ndarray, around: Neighbors, **more) -> Validation:
    chosen = SubmitSettings(threshold=0.5, min_area=0, neighbors=True, **more)
    return validate([found], truth, images, np.arange(len(truth)) % 4, chosen, around)


@pytest.mark.parametrize("kind", [rule for rule in ALL if rule not in PLAIN])
def test_a_rule_from_neighbours_that_fixes_what_is_wrong_is_taken(kind: str):
    found, truth, images, around = chained(kind)
    result = with_neighbors(found, truth, images, around)
    assert result.choice.rules == (kind,)
    assert 0 < result.gains[0].low < result.gains[0].gain
    assert result.score == 1.0 > result.without_rules
    np.testing.assert_array_equal(postprocess.apply(found, images, result.choice, around), truth > 0)
    assert {gain.rule for gain in result.gains} == {*ALL}
    # Without neighbours it is neither tried nor taken.
    assert not {gain.rule for gain in validated(found, truth, images).gains} & {kind}


def test_a_rule_from_neighbours_that_does_not_help_is_not_taken():
    found, truth, images, around = chained("neighbor_empty")
    # As many tiles are right as the rule would fix.
    truth[::6], around.masks[::6] = found[::6] > 127, found[::6] > 127
    result = with_neighbors(found, truth, images, around)
    assert "neighbor_empty" not in result.choice.rules
    assert {gain.rule: gain.taken for gain in result.gains}["neighbor_empty"] is False


@pytest.mark.parametrize("fold_of_upper", [0, 2])
def test_the_masks_of_a_fold_have_no_part_in_the_choice_of_its_rules(fold_of_upper: int):
    found, truth, images, around = chained("neighbor_empty")
    around.above[:] = -1
    wrong, upper, probe = np.arange(0, 60, 3), np.arange(60, 120, 3), 117
    around.above[wrong], around.above[probe] = upper, 0
    folds = 1 + np.arange(120) % 2
    folds[wrong], folds[upper], folds[[1, probe]] = 1, fold_of_upper, 0
    found[upper] = 20
    found[probe, 20:60, 20:60] = 230
    settings = SubmitSettings(threshold=0.5, min_area=0, neighbors=True)
    result = validate([found], truth, images, folds, settings, around)
    assert result.choice.rules == ("neighbor_empty",)
    # With their neighbours in fold 0, the tiles that the rule fixes have no part in what is chosen for fold 0.
    assert result.predicted_area[probe] == (1600 if fold_of_upper == 0 else 0)


def test_where_every_tile_has_a_neighbour_in_the_scored_fold_no_such_rule_is_tried():
    found, truth, images, around = chained("neighbor_empty")
    around.above[:] = np.roll(np.arange(120), 1)
    chosen = SubmitSettings(threshold=0.5, min_area=0, neighbors=True)
    result = validate([found], truth, images, np.arange(120) % 2, chosen, around)
    assert result.score == result.without_rules
