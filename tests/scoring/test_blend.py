"""Weights of a blend, chosen on out-of-fold tiles."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import SubmitSettings
from pipeline.scoring import blend, chunks, metric, thresholding
from pipeline.scoring.validation import validate
from tests.conftest import blobs, noisy

PLAIN = SubmitSettings(threshold=0.5, min_area=0, rules=())


def literal(arrays: list[np.ndarray], votes: list[int]) -> np.ndarray:
    total = sum(vote * array.astype(int) for vote, array in zip(votes, arrays, strict=True))
    return np.floor(total / sum(votes) + 0.5).astype(np.uint8)


def test_a_mean_with_votes_is_rounded_to_the_nearest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "CHUNK", 4)
    draw = np.random.default_rng(0)
    arrays = [draw.integers(0, 256, (10, 9, 9), np.uint8) for _ in range(3)]
    for votes in ((1, 1, 1), (3, 2, 1), (5, 0, 7)):
        np.testing.assert_array_equal(blend.mixed(arrays, votes), literal(arrays, list(votes)))
        np.testing.assert_array_equal(blend.average(arrays, 2, 5, votes), literal(arrays, list(votes))[2:5])
    assert blend.mixed(arrays, (0, 2, 0)) is arrays[1]
    for count, vote in ((2, 64), (2, 128), (257, 1), (2, 129), (1000, 12)):  # 257 votes and more need over 16 bits
        many = [np.full((1, 2, 2), 255, np.uint8)] * count
        assert (blend.average(many, 0, 1, [vote] * count) == 255).all()


def test_members_with_independent_errors_get_equal_weights_and_a_better_score():
    images, truth = blobs(120)
    members = [noisy(truth, seed, 45) for seed in range(2)]
    folds = np.arange(120) % 3
    blended = validate(members, truth, images, folds, PLAIN)
    alone = [validate([each], truth, images, folds, PLAIN).score for each in members]
    assert blended.votes == (1, 1)
    assert blended.score > max(alone) + 0.02
    assert blended.score == pytest.approx(metric.score(blend.mixed(members, (1, 1)) > 127, truth))


def test_a_member_that_lowers_the_score_gets_no_vote():
    images, truth = blobs(60)
    members = [noisy(truth, 0, 40), noisy(1 - truth, 1, 40), noisy(truth, 2, 40)]
    result = validate(members, truth, images, np.arange(60) % 2, PLAIN)
    assert result.votes[1] == 0
    assert result.score > metric.score(blend.mixed(members, (1, 1, 1)) > 127, truth) + 0.1
    np.testing.assert_array_equal(blend.reduced((4, 0, 8)), (1, 0, 2))


def test_weights_are_chosen_near_the_threshold_that_is_chosen():
    # All probabilities are below a half: at a threshold of a half all weights would score the same.
    images, truth = blobs(60)
    members = [noisy(truth, 0, 60) // 3, noisy(truth, 1, 20) // 3]
    result = validate(members, truth, images, np.arange(60) // 3 % 2, SubmitSettings(min_area=0, rules=()))
    assert result.choice.threshold < 0.3
    assert result.votes[1] > result.votes[0]


def test_each_vote_goes_to_the_member_that_raises_the_score_most():
    _, truth = blobs(60)
    members = [noisy(truth, 0, 60), noisy(truth, 1, 20)]
    pool = blend.Pool(members, truth)
    all_tiles = np.ones(60, bool)
    votes = blend.choose(pool, 2, all_tiles, 0.5, 0)
    assert votes[1] > votes[0]
    assert pool.scores(votes, 0.5, 0).mean() > pool.scores((1, 1), 0.5, 0).mean() + 0.02
    assert sum(votes) <= blend.ROUNDS
    # Every score is that of the masks of the weighted mean.
    masks = blend.mixed(members, (2, 3)) > 127
    np.testing.assert_array_equal(pool.scores((4, 6), 0.5, 0), metric.tile_scores(masks, truth))
    small = np.where(masks.sum(axis=(1, 2), keepdims=True) < 2000, False, masks)
    np.testing.assert_array_equal(pool.scores((2, 3), 0.5, 2000), metric.tile_scores(small, truth))
    # Another threshold gives other scores, and a mask as large as the smallest area is kept.
    higher = thresholding.apply(blend.mixed(members, (2, 3)), 0.7, 0)
    assert not np.array_equal(metric.tile_scores(higher, truth), metric.tile_scores(masks, truth))
    np.testing.assert_array_equal(pool.scores((2, 3), 0.7, 0), metric.tile_scores(higher, truth))
    exact = int(masks[1].sum())
    assert pool.scores((2, 3), 0.5, exact)[1] == metric.tile_scores(masks[1:2], truth[1:2])[0] > 0
    assert pool.scores((2, 3), 0.5, exact + 1)[1] == 0


def test_the_best_weights_on_the_way_are_kept():
    class Ratio(blend.Pool):
        """Scores best with three votes to two, a ratio that twelve votes cannot have."""

        def __init__(self) -> None:
            super().__init__([], np.zeros((40, 1, 1), np.uint8))

        def scores(self, votes: blend.Votes, threshold: float, min_area: int) -> np.ndarray:
            return np.full(40, 1 - abs(votes[0] / sum(votes) - 0.6))

    assert blend.choose(Ratio(), 2, np.ones(40, bool), 0.5, 0) == (3, 2)


@pytest.mark.parametrize(
    ("path", "votes"),
    [
        ([(each, 0) for each in range(1, 12)] + [(11, 1)], (11, 1)),  # there are twelve votes
        ([(each, 0) for each in range(1, 12)] + [(11, 1), (12, 1)], (11, 1)),  # and no more
        ([(0, 1), (0, 2), (1, 2), (2, 2), (3, 2), (4, 2)], (2, 1)),  # returned in the smallest integers
    ],
)
def test_the_search_gives_twelve_votes(path: list[blend.Votes], votes: blend.Votes):
    class Path(blend.Pool):
        """Scores best along a path, more with each step."""

        def __init__(self) -> None:
            super().__init__([], np.zeros((40, 1, 1), np.uint8))

        def scores(self, votes: blend.Votes, threshold: float, min_area: int) -> np.ndarray:
            if votes == blend.reduced(path[-1]):  # the result is scored in the smallest integers
                votes = path[-1]
            return np.full(40, path.index(votes) + 1 if votes in path else 0) / 20

    assert blend.choose(Path(), 2, np.ones(40, bool), 0.5, 0) == votes


def test_weights_that_are_better_by_chance_are_not_used():
    # Each member is right or wrong about a tile, with random confidence: no weights are better than equal ones, though
    # some of the many that are tried always score better on the tiles that they were chosen on.
    changed = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        truth = np.zeros((60, 4, 4), np.uint8)
        truth[:, :, :2] = 1
        right, confidence = draw.choice([-1, 1], (3, 60, 1, 1)), draw.uniform(5, 120, (3, 60, 1, 1))
        members = [each.astype(np.uint8) for each in 128 + (2.0 * truth - 1) * right * confidence]
        changed += blend.choose(blend.Pool(members, truth), 3, np.ones(60, bool), 0.5, 0) != (1, 1, 1)
    assert changed <= 2


def test_the_weights_of_a_fold_are_chosen_on_the_others():
    images, truth = blobs(120)
    # Fold 0 has most of the tiles, so that it would decide the weights if they were chosen on it too.
    folds = np.where(np.arange(120) < 72, 0, 1 + np.arange(120) % 3)
    right, wrong = noisy(truth, 0, 10), noisy(1 - truth, 1, 10)
    # The first member is right everywhere but in fold 0, the second only there.
    first = np.where((folds == 0)[:, None, None], wrong, right)
    second = np.where((folds == 0)[:, None, None], right, wrong)
    result = validate([first, second], truth, images, folds, PLAIN)
    assert result.votes[1] > result.votes[0]
    assert result.folds[0] < 0.1
