"""Blends: several experiments' probabilities, averaged with weights that out-of-fold tiles have chosen.

Weights are whole numbers of votes, so that a mean of uint8 probabilities is exact and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import numpy as np

from pipeline.scoring import metric
from pipeline.scoring import postprocess as rules

CHUNK = 64
"""Tiles that are averaged at once: few enough to stay in the processor's cache."""
ROUNDS = 12
"""Votes that are given away: weights are multiples of a twelfth or coarser."""
Votes = tuple[int, ...]


def average(arrays: Sequence[np.ndarray], start: int, stop: int, votes: Sequence[int] | None = None) -> np.ndarray:
    """Mean probability of several networks for tiles start..stop: (stop - start, 101, 101) uint8.

    Args:
        arrays: one (n, 101, 101) uint8 array per network, may be memory-mapped.
        start: first tile.
        stop: tile after the last.
        votes: weight of each array; by default all weigh the same.
    """
    votes = [1] * len(arrays) if votes is None else votes
    weight = sum(votes)
    # 16 bits hold 256 votes, and are twice as fast.
    wide = np.uint16 if weight <= 256 else np.uint32
    # Beginning with half the divisor rounds to the nearest whole number.
    total = np.full((stop - start, *arrays[0].shape[1:]), weight // 2, wide)
    for array, vote in zip(arrays, votes, strict=True):
        if vote:
            total += np.multiply(array[start:stop], vote, dtype=wide)
    return (total // wide(weight)).astype(np.uint8)


def mixed(members: Sequence[np.ndarray], votes: Votes) -> np.ndarray:
    """Weighted mean of the members' probabilities, (n, 101, 101) uint8, in memory; a single member is left as it is."""
    if sum(map(bool, votes)) == 1:
        return members[int(np.argmax(votes))]
    out = np.empty(members[0].shape, np.uint8)
    for start in range(0, len(out), CHUNK):
        stop = min(start + CHUNK, len(out))
        out[start:stop] = average(members, start, stop, votes)
    return out


class Pool:
    """Scores of the same tiles with any weights of some members; what was scored once is kept.

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
        predicted, both, true = self._areas[key]
        kept = predicted >= min_area
        return metric.scores_of(np.where(kept, predicted, 0), np.where(kept, both, 0), true)

    def _measured(self, votes: Votes, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = []
        for start in range(0, len(self._truth), CHUNK):
            stop = min(start + CHUNK, len(self._truth))
            masks = metric.apply(average(self._members, start, stop, votes), threshold, 0)
            found.append(metric.mask_areas(masks, self._truth[start:stop]))
        predicted, true, both = (np.concatenate(each) for each in zip(*found, strict=True))
        return predicted, both, true


def choose(pool: Pool, members: int, chosen_on: np.ndarray, threshold: float, min_area: int) -> Votes:
    """Weights by forward selection with replacement (Caruana et al. 2004), or equal ones.

    Found weights are taken only where they are better than equal ones by more than chance: each half of the tiles is
    scored with the weights that were found on the other, and the paired bootstrap interval of the difference lies above
    0. Source: Ensemble selection from libraries of models, ICML 2004.

    Args:
        pool: of all tiles.
        members: how many there are.
        chosen_on: (n,) bool, tiles that have a say.
        threshold: at which tiles are scored.
        min_area: with which tiles are scored.

    Returns:
        A vote or more for each member that counts, 0 for the others.
    """
    equal = (1,) * members
    if members == 1:
        return equal
    rows = np.flatnonzero(chosen_on)
    base = pool.scores(equal, threshold, min_area)[rows]
    scores = base.copy()
    for half in rules.halves(len(rows)):
        if not half.all():
            votes = _selected(pool, members, rows[~half], threshold, min_area)
            scores[half] = pool.scores(votes, threshold, min_area)[rows[half]]
    _, low, _ = rules.paired(scores, base)
    return _selected(pool, members, rows, threshold, min_area) if low > 0 else equal


def _selected(pool: Pool, members: int, rows: np.ndarray, threshold: float, min_area: int) -> Votes:
    """A vote at a time to whichever member raises the score most; the best of the sums on the way."""
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
    """The same weights in the smallest whole numbers."""
    common = gcd(*votes)
    return tuple(vote // common for vote in votes)
