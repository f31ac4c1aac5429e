"""The search for post-processing rules that raise the score.

A rule is used where it raises the score of out-of-fold tiles by more than chance: where the paired bootstrap interval
of its gain lies above 0. The interval is wider the more rules are tried, without those that change the score of so few
tiles that no gain of theirs could be significant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.scoring import bootstrap, metric, postprocess, thresholding
from pipeline.scoring.chunks import chunks
from pipeline.scoring.neighbors import RULES as NEIGHBOR_RULES
from pipeline.scoring.neighbors import Neighbors
from pipeline.scoring.postprocess import ALL, GATE_PIXELS, PLAIN, SHAPING, PostProcessing, shaped
from pipeline.scoring.thresholding import Counts

GATE_LEVELS = tuple(percent / 100 for percent in range(50, 96, 5))
"""Levels that are tried for the gate."""


ERROR = 0.05
"""Of the bootstrap intervals of all gains together: probability that any of them does not hold the true gain."""


def testable(changed: Mapping[str, int]) -> tuple[float, frozenset[str]]:
    """The level of the bootstrap intervals, and the rules that can be taken.

    A rule without any effect that changes the scores of n tiles raises all of them with the probability 2 ** -n. Where
    n is so small that even this would not be significant, the rule cannot be taken, and is not counted in the
    correction for the number of rules.

    Args:
        changed: for each rule, the number of tiles whose score it changes, for better or worse.

    Reference: Tarone, "A modified Bonferroni method for discrete data", 1990.
    """
    for count in range(1, len(changed) + 1):
        possible = frozenset(rule for rule, tiles in changed.items() if 2.0**-tiles < ERROR / 2 / count)
        if len(possible) <= count:
            break
    return 1 - ERROR / count, possible


@dataclass(frozen=True)
class Gain:
    """What a rule adds to the score of the tiles that it was tried on, after the rules taken before it."""

    rule: str
    taken: bool
    gain: float
    """Mean over tiles."""
    low: float
    """Lower bound of the paired bootstrap interval, at the level of ``testable``."""
    high: float
    """Upper bound of the same interval."""


class Trial:
    """Scores of tiles at one threshold with any smallest area and rules; masks are made once for each set of rules.

    Args:
        probabilities: (n, height, width) uint8.
        truth: (n, height, width) 0/1.
        constant: (n,) bool, which images have a single grey value.
        counts: of the same tiles.
        threshold: a pixel is salt when its probability is above it.
        neighbors: of the same tiles; None where none are known.
    """

    def __init__(
        self,
        probabilities: np.ndarray,
        truth: np.ndarray,
        constant: np.ndarray,
        counts: Counts,
        threshold: float,
        neighbors: Neighbors | None = None,
    ) -> None:
        self._probabilities, self._truth, self._constant, self._counts = probabilities, truth, constant, counts
        self._threshold, self._neighbors = threshold, neighbors
        self._beside = np.zeros(0, np.int64) if neighbors is None else np.flatnonzero(neighbors.present)
        self._areas_beside: dict[PostProcessing, tuple[np.ndarray, np.ndarray]] = {}
        self._areas = {frozenset[str](): thresholding.areas_at(counts, threshold, 0)}

    def areas(self, how: PostProcessing) -> tuple[np.ndarray, np.ndarray]:
        """Predicted area and intersection of each tile, (n,) int64 in pixels, of the masks that ``apply`` makes."""
        predicted, intersection = self._shaped_areas(frozenset(how.rules) & {*SHAPING})
        kept = predicted >= how.min_area
        if "constant_empty" in how.rules:
            kept = kept & ~self._constant
        if how.gate is not None:
            kept = kept & (thresholding.areas_at(self._counts, how.gate, 0)[0] >= GATE_PIXELS)
        predicted, intersection = np.where(kept, predicted, 0), np.where(kept, intersection, 0)
        if len(self._beside) and {*how.rules} & {*NEIGHBOR_RULES}:
            predicted[self._beside], intersection[self._beside] = self._areas_with_neighbors(how)
        return predicted, intersection

    def scores(self, how: PostProcessing) -> np.ndarray:
        """The competition's score of each tile, (n,) float64."""
        predicted, intersection = self.areas(how)
        return metric.scores_from_areas(predicted, self._counts.truth, intersection)

    def _areas_with_neighbors(self, how: PostProcessing) -> tuple[np.ndarray, np.ndarray]:
        """Predicted area and intersection of the tiles with a labelled neighbour, which are few."""
        if how not in self._areas_beside:
            assert self._neighbors is not None
            rows, own = self._beside, replace(how, threshold=self._threshold)
            neighbors = self._neighbors.take(rows)
            masks = postprocess.masks_of(self._probabilities[rows], self._constant[rows], own, neighbors)
            areas = masks.sum(axis=(1, 2)), (masks & (self._truth[rows] > 0)).sum(axis=(1, 2))
            self._areas_beside[how] = areas
        return self._areas_beside[how]

    def _shaped_areas(self, rules: frozenset[str]) -> tuple[np.ndarray, np.ndarray]:
        if rules not in self._areas:
            # These rules leave an empty mask empty, so only the other tiles are processed.
            predicted, intersection = (areas.copy() for areas in self._areas[frozenset()])
            for part in chunks(len(predicted)):
                rows = part.start + np.flatnonzero(predicted[part])
                masks = shaped(thresholding.apply(self._probabilities[rows], self._threshold, 0), rules)
                predicted[rows] = masks.sum(axis=(1, 2))
                intersection[rows] = (masks & (self._truth[rows] > 0)).sum(axis=(1, 2))
            self._areas[rules] = (predicted, intersection)
        return self._areas[rules]


def choose(
    trial: Trial,
    how: PostProcessing,
    chosen_on: np.ndarray,
    wanted: Sequence[str] | None = None,
    rules: Sequence[str] = PLAIN,
) -> tuple[PostProcessing, list[Gain]]:
    """Choose the rules that raise the score by more than chance, by forward selection.

    Each step takes the rule with the largest gain, as long as the lower bound of its paired bootstrap interval is above
    0. Which rules can be taken, and at which level, depends on how many scores each changes at first, not on the gains.

    Args:
        trial: of the threshold.
        how: threshold and smallest area.
        chosen_on: (n,) bool, the tiles to choose on.
        wanted: use exactly these rules, whatever they gain; None to search.
        rules: all that can be used here.

    Returns:
        ``how`` with the rules, and the gain of each rule that was tried.
    """
    left = [rule for rule in rules if wanted is None or rule in wanted]
    if not left:
        return how, []
    found = _differences(trial, how, left, chosen_on)
    level, possible = testable({rule: int(np.count_nonzero(added)) for rule, added in found.items()})

    def significant(gain: Gain) -> bool:
        return gain.rule in possible and gain.low > 0

    gains: list[Gain] = []
    while left:
        tried = [
            Gain(rule, False, *bootstrap.of_differences(found[rule], level))
            for rule in (left if wanted is None else left[:1])
        ]
        best = max(tried, key=lambda gain: (significant(gain), gain.gain))
        if wanted is None and not significant(best):
            return how, gains + tried
        gains.append(replace(best, taken=True))
        left.remove(best.rule)
        how = _with_rule(how, best.rule)
        if best.rule == "empty_gate":
            how = replace(how, gate=_best_level(_scores_at_levels(trial, how)[:, chosen_on]))
        found = _differences(trial, how, left, chosen_on)
    return how, gains


def _with_rule(how: PostProcessing, rule: str) -> PostProcessing:
    return replace(how, rules=tuple(each for each in ALL if each == rule or each in how.rules))


def _differences(
    trial: Trial, how: PostProcessing, rules: Sequence[str], chosen_on: np.ndarray
) -> dict[str, np.ndarray]:
    """What each rule adds to the scores of the tiles to choose on."""
    base = trial.scores(how)[chosen_on]
    return {rule: bootstrap.differences(_scores(trial, how, rule, base, chosen_on), base) for rule in rules}


def _scores(trial: Trial, how: PostProcessing, rule: str, base: np.ndarray, chosen_on: np.ndarray) -> np.ndarray:
    """Scores of the tiles to choose on with one rule more; ``base`` are those without it."""
    how = _with_rule(how, rule)
    if rule != "empty_gate":
        return trial.scores(how)[chosen_on]
    # The best of ten levels is partly chance, so score each half of the tiles at the level chosen on the other.
    table = _scores_at_levels(trial, how)[:, chosen_on]
    scores = base.copy()
    for half in bootstrap.halves(len(base)):
        if not half.all():
            scores[half] = table[GATE_LEVELS.index(_best_level(table[:, ~half])), half]
    return scores


def _scores_at_levels(trial: Trial, how: PostProcessing) -> np.ndarray:
    """Scores with the gate at each level, (levels, n)."""
    return np.stack([trial.scores(replace(how, gate=level)) for level in GATE_LEVELS])


def _best_level(table: np.ndarray) -> float:
    """The level with the best mean score, the lowest of several."""
    return GATE_LEVELS[int(table.mean(axis=1).argmax())]
