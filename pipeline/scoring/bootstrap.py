"""Intervals, which tell whether a difference of scores is larger than chance explains."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Difference(NamedTuple):
    """Mean difference of two scores of the same tiles, and its bootstrap interval."""

    mean: float
    low: float
    high: float


def interval(scores: np.ndarray, seed: int = 0, n: int = 2000, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean score.

    Args:
        scores: (tiles,) float64, the score of each tile.
        seed: of the resampling; the same seed gives the same interval.
        n: number of resamples.
        level: share of the resampled means inside the interval, between 0 and 1.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: there are no scores, or ``level`` is not between 0 and 1.

    Reference: Efron, "Bootstrap methods: another look at the jackknife", 1979.
    """
    if not len(scores) or not 0 < level < 1:
        raise ValueError(f"bootstrap of {len(scores)} scores at level {level}: give scores, and a level within 0 and 1")
    # Tile scores take few distinct values, so resample how often each value occurs instead of the tiles.
    values, often = np.unique(scores, return_counts=True)
    means = np.random.default_rng(seed).multinomial(len(scores), often / len(scores), size=n) @ values / len(scores)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired(scores: ArrayLike, baseline: ArrayLike, level: float = 0.95) -> Difference:
    """Paired bootstrap of the difference between two scores of the same tiles.

    Pairing removes what makes a tile hard for both, so the interval is narrower than those of the two means suggest.

    Args:
        scores: (tiles,) float64.
        baseline: (tiles,) float64, in the same order.
        level: as in ``interval``.

    Returns:
        Mean of ``scores - baseline`` and its interval; the difference is significant where the interval excludes 0.

    Raises:
        ValueError: as in ``interval``.
    """
    return of_differences(differences(scores, baseline), level)


def differences(scores: ArrayLike, baseline: ArrayLike) -> np.ndarray:
    """Scores less other scores of the same tiles, (tiles,) float64.

    Scores are multiples of 0.1; rounding makes equal differences equal floats, which ``interval`` counts together.
    """
    return np.round(np.asarray(scores) - np.asarray(baseline), 6)


def of_differences(found: np.ndarray, level: float = 0.95) -> Difference:
    """As ``paired``, of what ``differences`` returns."""
    low, high = interval(found, level=level)
    return Difference(float(found.mean()), low, high)


def over_groups(found: np.ndarray, groups: np.ndarray, level: float = 0.95) -> Difference:
    """Interval of a mean difference from its scatter over groups of tiles, by Student's t.

    A bootstrap over tiles takes the two networks as given. Where each fold was trained anew, the scatter of the folds'
    means also has the variance of the trainings, which can be much larger.

    Args:
        found: (tiles,) float64, from ``differences``.
        groups: (tiles,) int, the fold of each tile; two folds or more.
        level: as in ``interval``.

    Returns:
        Mean over all tiles, and an interval around it that is symmetric.

    Raises:
        ValueError: there are fewer than two groups.

    Reference: Student, "The probable error of a mean", 1908.
    """
    from scipy.stats import t

    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(f"interval over {len(names)} groups: give two or more")
    means = np.array([found[groups == name].mean() for name in names])
    half = float(t.ppf((1 + level) / 2, len(names) - 1) * means.std(ddof=1) / np.sqrt(len(names)))
    mean = float(found.mean())
    return Difference(mean, mean - half, mean + half)


def halves(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Split tiles into even and odd rows, so that what is chosen on one half can be scored on the other.

    Args:
        count: number of tiles.

    Returns:
        Two masks, (count,) bool each, that complement each other.
    """
    even = np.arange(count) % 2 == 0
    return even, ~even
