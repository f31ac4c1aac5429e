"""Blends: the weighted mean of several experiments' probabilities, with weights chosen on out-of-fold tiles.

Weights are whole numbers of votes, so that a mean of uint8 probabilities is exact and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import numpy as np

from pipeline.scoring import bootstrap, metric, thresholding
from pipeline.scoring.chunks import chunks

ROUNDS = 12
"""Rounds of the search, each with one vote: weights are fractions with a denominator of at most 12."""
Votes = tuple[int, ...]
"""Weight of each member of a blend."""


def average(arrays: Sequence[np.ndarray], start: int, stop: int, votes: Sequence[int] | None = None) -> np.ndarray:
    """Weighted mean of several networks' probabilities for the tiles from ``start`` up to ``stop``.

    Args:
        arrays: one (n, 101, 101) uint8 array per network, may be memory-mapped.
        start: first tile.
        stop: tile after the last.
        votes: weight of each array; equal by default.

    Returns:
        (stop - start, 101, 101) uint8, rounded to the nearest.
    """
    votes = [1] * len(arrays) if votes is None else votes
    weight = sum(votes)
    # 16 bits hold 256 votes, and are twice as fast.
    wide = np.uint16 if weight <= 256 else np.uint32
    # Starting at half the divisor rounds to the nearest integer.
    total = np.full((stop - start, *arrays[0].shape[1:]), weight // 2, wide)
    for array, vote in zip(arrays, votes, strict=True):
        if vote:
            total += np.multiply(array[start:stop], vote, dtype=wide)
    return (total // wide(weight)).astype(np.uint8)


def mixed(members: Sequence[np.ndarray], votes: Votes) -> np.ndarray:
    """Weighted mean of all tiles, in memory.

    Args:
        members: (n, 101, 101) uint8 probabilities of each experiment.
        votes: weight of each member.

    Returns:
        (n, 101, 101) uint8; the member itself where only one has votes.
    """
    if sum(map(bool, votes)) == 1:
        return members[int(np.argmax(votes))]
    out = np.empty(members[0].shape, np.uint8)
    for part in chunks(len(out)):
        out[part] = average(members, part.start, part.stop, votes)
    return out


class Pool:
    """Scores of the same tiles with any weights of the members; each blend is measured once.

    Args:
        members: (n, 101, 101) uint8 out-of-fold probabilities of each experiment.
        truth: (n, 101, 101) 0/1.
    """

    def __init__(self, members: Sequence[np.ndarray], truth: np.ndarray) -> None:
        self._members, self._truth = members, truth
        self._areas: dict[tuple[Votes, float], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def scores(self, votes: Votes, threshold: float, min_area: int) -> np.ndarray:
        """The competition's score of each tile, (n,) float64."""
        key = (reduced(votes), threshold)
        if key not in self._areas:
            self._areas[key] = self._measured(*key)
        predicted, true, intersection = self._areas[key]
        kept = predicted >= min_area
        return metric.scores_from_areas(np.where(kept, predicted, 0), true, np.where(kept, intersection, 0))

    def _measured(self, votes: Votes, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        areas = []
        for part in chunks(len(self._truth)):
            masks = thresholding.apply(average(self._members, part.start, part.stop, votes), threshold, 0)
            areas.append(metric.mask_areas(masks, self._truth[part]))
        predicted, true, intersection = (np.concatenate(each) for each in zip(*areas, strict=True))
        return predicted, true, intersection


def choose(pool: Pool, members: int, chosen_on: np.ndarray, threshold: float, min_area: int) -> Votes:
    """Choose weights by forward selection with replacement, or equal ones.

    The selected weights are used only where they beat equal ones by more than chance: each half of the tiles is scored
    with the weights selected on the other half, and the paired bootstrap interval of the difference must lie above 0.

    Args:
        pool: of all tiles.
        members: how many there are.
        chosen_on: (n,) bool, the tiles to choose on.
        threshold: at which tiles are scored.
        min_area: smallest area in pixels with which tiles are scored.

    Returns:
        The votes of each member, 0 for a member that is left out.

    Reference: Caruana et al., "Ensemble selection from libraries of models", ICML 2004.
    """
    equal = (1,) * members
    if members == 1:
        return equal
    rows = np.flatnonzero(chosen_on)
    base = pool.scores(equal, threshold, min_area)[rows]
    scores = base.copy()
    for half in bootstrap.halves(len(rows)):
        if not half.all():
            votes = _selected(pool, members, rows[~half], threshold, min_area)
            scores[half] = pool.scores(votes, threshold, min_area)[rows[half]]
    significant = bootstrap.paired(scores, base).low > 0
    return _selected(pool, members, rows, threshold, min_area) if significant else equal


def _selected(pool: Pool, members: int, rows: np.ndarray, threshold: float, min_area: int) -> Votes:
    """Give one vote at a time to the member that raises the score most; return the best weights on the way."""
    votes: Votes = (0,) * members
    best, best_mean = votes, -1.0
    for _ in range(ROUNDS):
        tried = [(*votes[:at], votes[at] + 1, *votes[at + 1 :]) for at in range(members)]
        means = [float(pool.scores(each, threshold, min_area)[rows].mean()) for each in tried]
        votes = tried[int(np.argmax(means))]
        if max(means) > best_mean:
            best, best_mean = votes, max(means)
    return reduced(best)


def reduced(votes: Votes) -> Votes:
    """The same weights in the smallest integers."""
    common = gcd(*votes)
    return tuple(vote // common for vote in votes)
