"""Threshold and smallest area: masks, scores from counts, and the search, compared with literal readings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.scoring import chunks, metric, thresholding

PROPERTY = settings(deadline=None, max_examples=60)
SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)
PROBABILITIES = SHAPES.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 51, 127, 128, 153, 204, 254, 255])),
        hnp.arrays(bool, shape),
    )
)
THRESHOLDS = (0.0, 0.2, 0.3, 0.5, 0.6, 0.8, 1.0)


def literal_masks(probabilities: np.ndarray, threshold: float, min_area: int) -> np.ndarray:
    masks = np.array([[[value / 255 > threshold for value in row] for row in tile] for tile in probabilities.tolist()])
    return np.array([mask if mask.sum() >= min_area else np.zeros_like(mask) for mask in masks])


def survey(tiles: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Made-up probabilities and masks, 20x20: noisy, some without salt, some with stray pixels."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((tiles, 20, 20), bool)
    for mask in truth[: tiles * 2 // 3]:
        mask[: rng.integers(3, 20), : rng.integers(3, 20)] = True
    noisy = np.where(truth, 0.7, 0.25) + rng.normal(0, 0.17, truth.shape)
    order = rng.permutation(tiles)
    return (255 * noisy.clip(0, 1)).astype(np.uint8)[order], truth[order]


@PROPERTY
@given(PROBABILITIES, st.sampled_from(THRESHOLDS), st.integers(0, 26))
def test_apply_is_the_literal_reading(pair: tuple[np.ndarray, np.ndarray], threshold: float, area: int) -> None:
    masks = thresholding.apply(pair[0], threshold, area)
    assert masks.dtype == bool
    np.testing.assert_array_equal(masks, literal_masks(pair[0], threshold, area))


def test_another_metric_scores_the_masks_that_apply_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    def accuracy(predicted: np.ndarray, truth: np.ndarray, intersection: np.ndarray) -> np.ndarray:
        """Tenths of 400 pixels that are right: an emptied mask is neither all right nor all wrong."""
        return (400 - predicted - truth + 2 * intersection) // 40

    monkeypatch.setattr(metric, "thresholds_exceeded", accuracy)
    probabilities, truth = survey(30)
    counts = thresholding.count(probabilities, truth)
    for area in (0, 60, 400):
        expected = metric.tile_scores(thresholding.apply(probabilities, 0.5, area), truth)
        np.testing.assert_allclose(thresholding.scores_at(counts, 0.5, area), expected)


def test_a_probability_equal_to_the_threshold_is_not_salt() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for value in range(256):
        assert thresholding.apply(every, value / 255, 0).sum() == 255 - value
    assert thresholding.apply(every, 0.5, 0).sum() == 128
    # Decimals that floats do not hold exactly: 0.2, 0.4, 0.6 and 0.8 are the values 51, 102, 153 and 204.
    assert [int(thresholding.apply(every, tenths / 10, 0).sum()) for tenths in (2, 4, 6, 8)] == [204, 153, 102, 51]


@PROPERTY
@given(PROBABILITIES, st.sampled_from(THRESHOLDS), st.integers(0, 26))
def test_counts_score_the_masks_that_apply_makes(
    pair: tuple[np.ndarray, np.ndarray], threshold: float, area: int
) -> None:
    expected = metric.tile_scores(thresholding.apply(pair[0], threshold, area), pair[1])
    assert thresholding.scores_at(thresholding.count(*pair), threshold, area).tolist() == expected.tolist()


def test_counts_of_every_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 3)
    probabilities, truth = survey(7)
    counts = thresholding.count(probabilities, truth.astype(np.uint8) * 255)
    for cut in range(257):
        mask = probabilities >= np.int16(cut)
        assert counts.predicted[:, cut].tolist() == mask.sum(axis=(1, 2)).tolist()
        assert counts.intersection[:, cut].tolist() == (mask & truth).sum(axis=(1, 2)).tolist()
    assert counts.truth.tolist() == truth.sum(axis=(1, 2)).tolist()
    assert len(counts) == 7


def test_the_search_tries_every_percent_and_areas_up_to_four_hundred_pixels() -> None:
    np.testing.assert_allclose(thresholding.SEARCHED_THRESHOLDS, np.linspace(0.05, 0.95, 91), atol=1e-12)
    assert thresholding.SEARCHED_AREAS[0] == 0  # every mask kept
    assert thresholding.SEARCHED_AREAS[-1] == 400
    assert list(thresholding.SEARCHED_AREAS) == sorted({*thresholding.SEARCHED_AREAS})


@pytest.mark.parametrize("call", [lambda p: thresholding.apply(p, 0.5, 0), lambda p: thresholding.count(p, p > 0)])
@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 3), (1, 3, 3, 1)])
def test_probabilities_of_another_type_or_shape_are_refused(call: object, shape: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match=r"probabilities are float32 of shape .*, not \(n, h, w\) uint8"):
        call(np.zeros(shape, np.float32))  # type: ignore[operator]
    if len(shape) != 3:
        with pytest.raises(TypeError, match=r"probabilities are uint8 of shape"):
            call(np.zeros(shape, np.uint8))  # type: ignore[operator]


@PROPERTY
@given(PROBABILITIES, st.sampled_from(THRESHOLDS), st.integers(0, 26))
def test_areas_are_those_of_the_masks_that_apply_makes(
    pair: tuple[np.ndarray, np.ndarray], threshold: float, area: int
) -> None:
    masks = thresholding.apply(pair[0], threshold, area)
    predicted, intersection = thresholding.areas_at(thresholding.count(*pair), threshold, area)
    assert predicted.tolist() == masks.sum(axis=(1, 2)).tolist()
    assert intersection.tolist() == (masks & pair[1]).sum(axis=(1, 2)).tolist()


def test_a_mask_as_large_as_the_smallest_area_is_kept() -> None:
    probabilities, truth = np.full((1, 3, 3), 255, np.uint8), np.ones((1, 3, 3), bool)
    counts = thresholding.count(probabilities, truth)
    assert [int(thresholding.apply(probabilities, 0.5, area).sum()) for area in (8, 9, 10)] == [9, 9, 0]
    assert [thresholding.areas_at(counts, 0.5, area)[0].tolist() for area in (8, 9, 10)] == [[9], [9], [0]]
    assert [thresholding.areas_at(counts, 0.5, area)[1].tolist() for area in (8, 9, 10)] == [[9], [9], [0]]
    assert [thresholding.scores_at(counts, 0.5, area).tolist() for area in (8, 9, 10)] == [[1.0], [1.0], [0.0]]


@pytest.mark.parametrize("union", [20, 101 * 101])
def test_every_iou_is_graded_exactly(union: int) -> None:
    intersections = np.arange(union + 1)
    counts = thresholding.Counts(
        np.full((union + 1, 257), union), np.repeat(intersections[:, None], 257, axis=1), intersections
    )
    expected = [sum(20 * i > k * union for k in range(10, 20)) / 10 for i in range(union + 1)]
    assert thresholding.scores_at(counts, 0.5, 0).tolist() == expected


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        thresholding.count(np.zeros((2, 3, 3), np.uint8), np.zeros((1, 3, 3), bool))


def test_no_tiles_have_no_choice() -> None:
    nothing = np.zeros((0, 3, 3), np.uint8)
    with pytest.raises(ValueError, match="no tiles"):
        thresholding.search(thresholding.count(nothing, nothing))


def test_table_and_search_are_brute_force() -> None:
    probabilities, truth = survey(30)
    thresholds, areas = (0.3, 0.45, 0.6, 0.75), (0, 4, 12, 30)
    brute = np.array(
        [[metric.score(thresholding.apply(probabilities, t, a), truth) for a in areas] for t in thresholds]
    )
    assert len(np.unique(brute)) > 6
    counts = thresholding.count(probabilities, truth)
    np.testing.assert_allclose(thresholding.table(counts, thresholds, areas), brute, atol=1e-12)
    choice = thresholding.search(counts, thresholds, areas)
    assert choice.score == pytest.approx(brute.max())
    assert metric.score(thresholding.apply(probabilities, choice.threshold, choice.min_area), truth) == pytest.approx(
        choice.score
    )


def test_search_takes_the_middle_of_a_plateau() -> None:
    # Salt at 0.8 and rock at 0.2: every threshold between them is perfect, and so is every area up to the smallest.
    truth = np.zeros((4, 20, 20), bool)
    truth[:2, :5] = True
    probabilities = np.where(truth, 204, 51).astype(np.uint8)
    thresholds = tuple(percent / 100 for percent in range(10, 100, 10))
    choice = thresholding.search(thresholding.count(probabilities, truth), thresholds, (0, 50, 100, 150))
    assert choice == thresholding.Choice(threshold=0.4, min_area=50, score=1.0)


def test_search_ignores_a_cell_that_is_best_by_chance() -> None:
    # 3,000 tiles; one of them scores better at 0.9 than at 0.2 to 0.6, which is within chance.
    truth = np.zeros((3000, 1, 2), bool)
    truth[:1000] = True
    probabilities = np.where(truth, 240, 30).astype(np.uint8)
    probabilities[-1] = 160
    counts = thresholding.count(probabilities, truth)
    thresholds = (0.2, 0.3, 0.4, 0.5, 0.6, 0.9)
    means = thresholding.table(counts, thresholds, (0,))[:, 0]
    assert means.argmax() == 5
    # The score is that of the choice, not that of the best cell.
    assert thresholding.search(counts, thresholds, (0,)) == thresholding.Choice(0.4, 0, means[3])


@PROPERTY
@given(st.integers(0, 50), st.integers(3, 40))
def test_a_choice_is_within_the_plateau_of_the_best_cell(seed: int, tiles: int) -> None:
    counts = thresholding.count(*survey(tiles, seed))
    thresholds, areas = (0.3, 0.4, 0.5, 0.6), (0, 10, 30)
    choice = thresholding.search(counts, thresholds, areas)
    means = thresholding.table(counts, thresholds, areas)
    assert choice.score == means[thresholds.index(choice.threshold), areas.index(choice.min_area)]
    assert choice.score >= means.max() - thresholding.PLATEAU / np.sqrt(tiles)


@pytest.mark.parametrize(("tiles", "threshold"), [(60, 0.4), (6000, 0.9)])
def test_the_same_difference_counts_on_many_tiles_and_not_on_few(tiles: int, threshold: float) -> None:
    # One tile of sixty scores better at 0.9 than at 0.2 to 0.6: chance for one tile, not for a hundred.
    truth = np.zeros((tiles, 1, 2), bool)
    truth[: tiles // 3] = True
    probabilities = np.where(truth, 240, 30).astype(np.uint8)
    probabilities[-tiles // 60 :] = 160
    counts = thresholding.count(probabilities, truth)
    assert thresholding.search(counts, (0.2, 0.3, 0.4, 0.5, 0.6, 0.9), (0,)).threshold == threshold


def test_cross_fitting_scores_a_group_with_the_choice_of_the_others() -> None:
    probabilities, truth = survey(60)
    groups = np.arange(60) % 3 + 4
    thresholds, areas = (0.3, 0.4, 0.5, 0.6), (0, 10, 30)
    counts = thresholding.count(probabilities, truth)
    scores, choices = thresholding.cross_fitted(counts, groups, thresholds, areas)
    assert list(choices) == [4, 5, 6]
    for group, choice in choices.items():
        own = groups == group
        assert choice == thresholding.search(thresholding.count(probabilities[~own], truth[~own]), thresholds, areas)
        masks = thresholding.apply(probabilities[own], choice.threshold, choice.min_area)
        assert scores[own].tolist() == metric.tile_scores(masks, truth[own]).tolist()


def test_cross_fitting_does_not_choose_on_the_group_s_own_tiles() -> None:
    # Group 0 needs a high threshold, groups 1 and 2 a low one.
    truth = np.zeros((30, 4, 4), bool)
    truth[:, :2] = True
    groups = np.repeat([0, 1, 2], 10)
    probabilities = np.where(truth, 100, 20).astype(np.uint8)
    probabilities[groups == 0] = np.where(truth[groups == 0], 250, 200)
    counts = thresholding.count(probabilities, truth)
    scores, choices = thresholding.cross_fitted(counts, groups, (0.2, 0.9), (0,))
    assert choices[0].threshold == 0.2
    assert scores[groups == 0].max() == 0.0  # IoU 0.5 exceeds nothing
    assert thresholding.search(counts.take(groups == 0), (0.2, 0.9), (0,)).threshold == 0.9


@pytest.mark.parametrize(("groups", "message"), [([0, 0], "two groups"), ([0, 1, 2], "shape")])
def test_cross_fitting_needs_two_groups(groups: list[int], message: str) -> None:
    counts = thresholding.count(*survey(2))
    with pytest.raises(ValueError, match=message):
        thresholding.cross_fitted(counts, np.array(groups))


def test_take_selects_tiles() -> None:
    probabilities, truth = survey(6)
    chosen = np.array([4, 1])
    part, expected = (
        thresholding.count(probabilities, truth).take(chosen),
        thresholding.count(probabilities[chosen], truth[chosen]),
    )
    for name in ("predicted", "intersection", "truth"):
        np.testing.assert_array_equal(getattr(part, name), getattr(expected, name))
