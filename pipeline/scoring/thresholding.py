"""From probabilities to masks: a threshold and a smallest area, and the search for those with the best score.

Probabilities are uint8: a value v stands for the probability v / 255. A pixel is salt when its probability is strictly
above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.scoring import metric
from pipeline.scoring.chunks import chunks

SEARCHED_THRESHOLDS = tuple(percent / 100 for percent in range(5, 96))
"""Probability thresholds that the search tries by default."""
SEARCHED_AREAS = (0, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 100, 120, 140, 160, 200, 240, 280, 340, 400)
"""Smallest areas in pixels that the search tries by default."""
PLATEAU = 0.17
"""Divided by the root of the number of tiles: the search treats scores this close to the best as equal.

Half a standard error of a mean score, whose tiles' scores have a standard deviation of about 0.36: within it the order
changes from one sample of tiles to the next. In 38 experiments' predictions for the same 600 tiles, 0.17 / sqrt(n) gave
the best score on the other tiles, or nearly so, with 100, 200, 300 or 450 tiles to choose on. The value was selected on
tiles whose scores are also reported; the bias is small, since the gain itself was about 0.001.
"""
_PROBABILITIES = np.arange(256) / 255


# ---- Masks ----------------------------------------------------------------------------------------------------------


def apply(probabilities: np.ndarray, threshold: float, min_area: int) -> np.ndarray:
    """Masks from probabilities, exactly those that ``scores_at`` scores.

    Args:
        probabilities: (n, height, width) uint8.
        threshold: a pixel is salt when its probability is above it.
        min_area: masks with fewer pixels become empty.

    Returns:
        (n, height, width) bool.

    Raises:
        TypeError: the probabilities are not (n, height, width) uint8.
    """
    _require_uint8(probabilities)
    masks = probabilities >= np.int16(_cut(threshold))
    masks[metric.mask_area(masks) < min_area] = False
    return masks


# ---- Scores at any threshold ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """Areas of n tiles at every threshold, from which scores follow without the pixels.

    At cut v the pixels with a value of v or more are salt: all of them at cut 0, none at cut 256.
    """

    predicted: np.ndarray
    """(n, 257) int32, predicted area in pixels at each cut."""
    intersection: np.ndarray
    """(n, 257) int32, pixels at each cut that are salt in truth as well."""
    truth: np.ndarray
    """(n,) int32, true area in pixels."""

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, indices: np.ndarray) -> Counts:
        """The counts of some tiles, by index or by a mask (n,) bool."""
        return Counts(self.predicted[indices], self.intersection[indices], self.truth[indices])


def count(probabilities: np.ndarray, truth: np.ndarray) -> Counts:
    """Areas and intersections at every threshold that uint8 probabilities can distinguish.

    Args:
        probabilities: (n, height, width) uint8.
        truth: (n, height, width) bool or integer; every value but 0 is salt.

    Raises:
        TypeError: the probabilities are not (n, height, width) uint8.
        ValueError: the shapes differ.
    """
    _require_uint8(probabilities)
    metric.require_same_shape(probabilities, truth)
    n = len(probabilities)
    at_least = np.zeros((2, n, 257), np.int32)  # of pixels without salt, and with salt
    for part in chunks(n):
        tiles = part.stop - part.start
        salt = truth[part] != 0
        # One bin for each (tile, with or without salt, value).
        bins = probabilities[part] + (salt.view(np.uint8) * np.intp(256))
        bins += np.arange(tiles)[:, None, None] * 512
        histogram = np.bincount(bins.ravel(), minlength=tiles * 512).reshape(tiles, 2, 256)
        at_least[:, part, :256] = histogram[..., ::-1].cumsum(axis=-1)[..., ::-1].transpose(1, 0, 2)
    intersection = at_least[1]
    return Counts(at_least[0] + intersection, intersection, intersection[:, 0].copy())


def scores_at(counts: Counts, threshold: float, min_area: int) -> np.ndarray:
    """The competition's score of each tile, (n,) float64, with a threshold and a smallest area in pixels."""
    return _exceeded_at(counts, threshold, [min_area])[0] / len(metric.THRESHOLDS)


def areas_at(counts: Counts, threshold: float, min_area: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted area and intersection of each tile, (n,) int64 in pixels, with a threshold and a smallest area."""
    cut = _cut(threshold)
    kept = counts.predicted[:, cut] >= min_area
    return np.where(kept, counts.predicted[:, cut], 0), np.where(kept, counts.intersection[:, cut], 0)


def table(counts: Counts, thresholds: Sequence[float], areas: Sequence[int]) -> np.ndarray:
    """Mean score of all tiles for each threshold and smallest area, (thresholds, areas) float64."""
    return _means(_sums(counts, thresholds, areas), len(counts))


# ---- Search ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A threshold and a smallest area, and the mean score of the tiles on which they were chosen."""

    threshold: float
    """A pixel is salt when its probability is above it."""
    min_area: int
    """Masks with fewer pixels become empty."""
    score: float


def search(
    counts: Counts, thresholds: Sequence[float] = SEARCHED_THRESHOLDS, areas: Sequence[int] = SEARCHED_AREAS
) -> Choice:
    """Find the centre of the region of thresholds and smallest areas with the best mean score.

    The best cell of the grid is partly chance, more so with fewer tiles. All cells within ``PLATEAU / sqrt(tiles)`` of
    the best one form the plateau; the result is the cell nearest to their mean position in the grid (the first of
    several). It depends little on single tiles and is the same in every run.

    Args:
        counts: at least one tile.
        thresholds: to try, in ascending order.
        areas: smallest areas in pixels to try, in ascending order.

    Raises:
        ValueError: there are no tiles.
    """
    return _choose(_sums(counts, thresholds, areas), len(counts), thresholds, areas)


def cross_fitted(
    counts: Counts,
    groups: np.ndarray,
    thresholds: Sequence[float] = SEARCHED_THRESHOLDS,
    areas: Sequence[int] = SEARCHED_AREAS,
) -> tuple[np.ndarray, dict[int, Choice]]:
    """Score each group of tiles with the threshold and smallest area that were chosen on the other groups.

    A threshold scores too well on the tiles that it was chosen on; here it is never scored on those.

    Args:
        counts: n tiles.
        groups: (n,) int, the group of each tile, for example its fold.
        thresholds: as in ``search``.
        areas: as in ``search``.

    Returns:
        The score of each tile, (n,) float64, and the choice for each group, whose score is that on the other groups.

    Raises:
        ValueError: there are fewer than two groups, or not one for each tile.
    """
    groups = np.asarray(groups)
    if groups.shape != (len(counts),):
        raise ValueError(f"groups have shape {groups.shape} for {len(counts)} tiles")
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(f"cross-fitting needs two groups of tiles or more, not {len(names)}")
    # Sums of integers: the total without a group's sum is exactly the sum over the other groups.
    sums = [_sums(counts.take(groups == name), thresholds, areas) for name in names]
    total = np.sum(sums, axis=0)
    scores = np.empty(len(counts))
    choices = {}
    for name, own in zip(names, sums, strict=True):
        member = groups == name
        choice = _choose(total - own, int((~member).sum()), thresholds, areas)
        scores[member] = scores_at(counts.take(member), choice.threshold, choice.min_area)
        choices[int(name)] = choice
    return scores, choices


def _require_uint8(probabilities: np.ndarray) -> None:
    if probabilities.dtype != np.uint8 or probabilities.ndim != 3:
        raise TypeError(f"probabilities are {probabilities.dtype} of shape {probabilities.shape}, not (n, h, w) uint8")


def _cut(threshold: float) -> int:
    """The smallest value that stands for a probability above a threshold; 256 if none does."""
    return int(np.searchsorted(_PROBABILITIES, threshold, side="right"))


def _exceeded_at(counts: Counts, threshold: float, areas: Sequence[int]) -> np.ndarray:
    """(areas, n) int64: IoU thresholds exceeded by each tile for each smallest area."""
    cut = _cut(threshold)
    predicted = counts.predicted[:, cut]
    kept = metric.thresholds_exceeded(predicted, counts.truth, counts.intersection[:, cut])
    nothing = np.zeros_like(predicted)
    emptied = metric.thresholds_exceeded(nothing, counts.truth, nothing)
    return np.where(predicted >= np.asarray(areas)[:, None], kept, emptied)


def _sums(counts: Counts, thresholds: Sequence[float], areas: Sequence[int]) -> np.ndarray:
    """(thresholds, areas) int64: IoU thresholds exceeded by all tiles together."""
    return np.array([_exceeded_at(counts, threshold, areas).sum(axis=1) for threshold in thresholds])


def _means(sums: np.ndarray, tiles: int) -> np.ndarray:
    if not tiles:
        raise ValueError("there are no tiles to score")
    return sums / (len(metric.THRESHOLDS) * tiles)


def _choose(sums: np.ndarray, tiles: int, thresholds: Sequence[float], areas: Sequence[int]) -> Choice:
    means = _means(sums, tiles)
    plateau = np.argwhere(means >= means.max() - PLATEAU / np.sqrt(tiles))
    nearest = np.square(plateau - plateau.mean(axis=0)).sum(axis=1).argmin()
    row, column = plateau[nearest]
    return Choice(float(thresholds[row]), int(areas[column]), float(means[row, column]))
