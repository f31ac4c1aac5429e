"""The competition's score, and the search for the threshold and smallest area that maximise it.

A tile's score is the share of the thresholds 0.50, 0.55 ... 0.95 that the intersection over union (IoU) of predicted
and true mask strictly exceeds. A tile without salt scores 1 if nothing is predicted in it and 0 otherwise, and a tile
with salt in which nothing is predicted scores 0. Source: the Evaluation page of the TGS Salt Identification Challenge.

Probabilities are uint8: a value v stands for the probability v / 255. A pixel is salt when its probability is strictly
above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLDS = np.arange(10, 20) / 20
"""(10,) float64, the IoU thresholds 0.50 to 0.95."""
SEARCHED_THRESHOLDS = tuple(percent / 100 for percent in range(5, 96))
"""Probability thresholds that the search tries by default."""
SEARCHED_AREAS = (0, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 100, 120, 140, 160, 200, 240, 280, 340, 400)
"""Smallest areas in pixels that the search tries by default."""
PLATEAU = 0.17
"""Divided by the root of the number of tiles: scores this close are a tie for the search.

Half a standard error of a mean score, whose tiles' scores have a standard deviation of about 0.36: other tiles would
change the order within it. Of 38 experiments' predictions for the same 600 tiles, 0.17 / sqrt(n) is where the tiles
that had no say scored best, or nearly so, whether 100, 200, 300 or 450 of them chose. It was chosen on tiles that it is
then reported on; what that flatters is small, since the gain itself was about 0.001.
"""
CHUNK = 64
"""Tiles whose pixels are counted at once: few enough to stay in the processor's cache."""
_PROBABILITIES = np.arange(256) / 255


def iou(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of each tile.

    Args:
        predicted: (n, height, width) bool or integer; whatever is not 0 is salt.
        truth: the same.

    Returns:
        (n,) float64; 1 where both masks are empty.
    """
    predicted_area, truth_area, intersection = mask_areas(predicted, truth)
    return _ratio(intersection, predicted_area + truth_area - intersection)


def dice(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dice coefficient of each tile, twice the intersection over the sum of the areas; otherwise as ``iou``."""
    predicted_area, truth_area, intersection = mask_areas(predicted, truth)
    return _ratio(2 * intersection, predicted_area + truth_area)


def tile_scores(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The competition's score of each tile.

    Args:
        predicted: (n, height, width) bool or integer; whatever is not 0 is salt.
        truth: the same.

    Returns:
        (n,) float64, tenths from 0 to 1.
    """
    return _exceeded(*mask_areas(predicted, truth)) / len(THRESHOLDS)


def score(predicted: np.ndarray, truth: np.ndarray) -> float:
    """The competition's score: the mean of ``tile_scores``."""
    if not len(truth):
        raise ValueError("there are no tiles to score")
    return float(tile_scores(predicted, truth).mean())


def empty_confusion(predicted_area: np.ndarray, truth_area: np.ndarray) -> np.ndarray:
    """Tiles by whether they hold salt: (2, 2) int64, rows by truth and columns by prediction, without salt first."""
    cell = 2 * (np.asarray(truth_area) > 0) + (np.asarray(predicted_area) > 0)
    return np.bincount(cell, minlength=4).reshape(2, 2)


def empty_accuracy(predicted_area: np.ndarray, truth_area: np.ndarray) -> float:
    """Share of the tiles that are rightly told to hold salt or none, from the areas (n,) of their masks in pixels."""
    return float(np.mean((np.asarray(predicted_area) > 0) == (np.asarray(truth_area) > 0)))


@dataclass(frozen=True)
class Counts:
    """What every threshold needs to know of n tiles, without their pixels.

    A cut v means: the pixels with a value of v or more are salt. With cut 0 all are, with cut 256 none.
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


@dataclass(frozen=True)
class Choice:
    """A threshold and a smallest area, and the mean score that they reach where they were chosen."""

    threshold: float
    """A pixel is salt when its probability is above it."""
    min_area: int
    """Masks with fewer pixels become empty."""
    score: float


def count(probabilities: np.ndarray, truth: np.ndarray) -> Counts:
    """Areas and intersections at every threshold that uint8 probabilities can tell apart.

    Args:
        probabilities: (n, height, width) uint8.
        truth: (n, height, width) bool or integer; whatever is not 0 is salt.
    """
    _require_uint8(probabilities)
    _require_same_shape(probabilities, truth)
    n = len(probabilities)
    at_least = np.zeros((2, n, 257), np.int32)  # of pixels without salt, and with salt
    for begin in range(0, n, CHUNK):
        part = slice(begin, min(begin + CHUNK, n))
        tiles = part.stop - begin
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
    return _exceeded_at(counts, threshold, [min_area])[0] / len(THRESHOLDS)


def areas_at(counts: Counts, threshold: float, min_area: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted area and intersection with the truth of each tile in pixels, (n,) int64, after threshold and area."""
    cut = _cut(threshold)
    kept = counts.predicted[:, cut] >= min_area
    return np.where(kept, counts.predicted[:, cut], 0), np.where(kept, counts.intersection[:, cut], 0)


def scores_of(predicted: np.ndarray, intersection: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The competition's score of each tile, (n,) float64, from predicted area, intersection and true area in pixels."""
    return _exceeded(predicted, truth, intersection) / len(THRESHOLDS)


def table(counts: Counts, thresholds: Sequence[float], areas: Sequence[int]) -> np.ndarray:
    """Mean score of all tiles for each threshold and smallest area, (thresholds, areas) float64."""
    return _means(_sums(counts, thresholds, areas), len(counts))


def search(
    counts: Counts, thresholds: Sequence[float] = SEARCHED_THRESHOLDS, areas: Sequence[int] = SEARCHED_AREAS
) -> Choice:
    """The threshold and smallest area with the best mean score, in the middle of those that are as good.

    The best cell of a table is partly luck, and the more so the fewer tiles there are. All cells within
    ``PLATEAU / sqrt(tiles)`` of the best one count as the plateau; of these the choice is the one nearest to their mean
    position in the grid (the first of several), so that it depends little on single tiles and is the same on every run.

    Args:
        counts: at least one tile.
        thresholds: to try, in ascending order.
        areas: smallest areas in pixels to try, in ascending order.
    """
    return _choose(_sums(counts, thresholds, areas), len(counts), thresholds, areas)


def cross_fitted(
    counts: Counts,
    groups: np.ndarray,
    thresholds: Sequence[float] = SEARCHED_THRESHOLDS,
    areas: Sequence[int] = SEARCHED_AREAS,
) -> tuple[np.ndarray, dict[int, Choice]]:
    """Score each group of tiles with the threshold and smallest area that the other groups chose.

    A threshold scores too well on the tiles that it was chosen on; here no tile has a say in how it is scored.

    Args:
        counts: n tiles.
        groups: (n,) int, the group of each tile, for example its fold.
        thresholds: as in ``search``.
        areas: as in ``search``.

    Returns:
        The score of each tile, (n,) float64, and what was chosen for each group; a choice's score is that on the
        other groups.

    Raises:
        ValueError: there are fewer than two groups.
    """
    groups = np.asarray(groups)
    if groups.shape != (len(counts),):
        raise ValueError(f"groups have shape {groups.shape} for {len(counts)} tiles")
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(f"cross-fitting needs two groups of tiles or more, not {len(names)}")
    # Sums of whole numbers: taking a group's away leaves exactly what the other groups would have given.
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


def apply(probabilities: np.ndarray, threshold: float, min_area: int) -> np.ndarray:
    """Masks from probabilities, exactly those that ``scores_at`` scores.

    Args:
        probabilities: (n, height, width) uint8.
        threshold: a pixel is salt when its probability is above it.
        min_area: masks with fewer pixels become empty.

    Returns:
        (n, height, width) bool.
    """
    _require_uint8(probabilities)
    masks = probabilities >= np.int16(_cut(threshold))
    masks[_area(masks) < min_area] = False
    return masks


def bootstrap(scores: np.ndarray, seed: int = 0, n: int = 2000, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean score (Efron 1979).

    Args:
        scores: (tiles,) float64, the score of each tile.
        seed: of the resampling; the same seed gives the same interval.
        n: resamples.
        level: share of the resampled means that lie within, between 0 and 1.
    """
    if not len(scores) or not 0 < level < 1:
        raise ValueError(f"bootstrap of {len(scores)} scores at level {level}: give scores, and a level within 0 and 1")
    # Tile scores take few values, so that drawing how often each comes is drawing the tiles.
    values, often = np.unique(scores, return_counts=True)
    means = np.random.default_rng(seed).multinomial(len(scores), often / len(scores), size=n) @ values / len(scores)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _require_uint8(probabilities: np.ndarray) -> None:
    if probabilities.dtype != np.uint8 or probabilities.ndim != 3:
        raise TypeError(f"probabilities are {probabilities.dtype} of shape {probabilities.shape}, not (n, h, w) uint8")


def _require_same_shape(predicted: np.ndarray, truth: np.ndarray) -> None:
    if predicted.shape != truth.shape:
        raise ValueError(f"predicted masks have shape {predicted.shape}, true ones {truth.shape}")


def _packed(masks: np.ndarray) -> np.ndarray:
    """Masks as bits, (n, bytes) uint8: an eighth of the memory, and counted a byte at a time."""
    return np.packbits(masks.reshape(len(masks), int(np.prod(masks.shape[1:]))), axis=1)


def _area(masks: np.ndarray) -> np.ndarray:
    return np.bitwise_count(_packed(masks)).sum(axis=1, dtype=np.int64)


def mask_areas(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted area, true area and intersection of each tile, (n,) int64 in pixels."""
    _require_same_shape(predicted, truth)
    first, second = _packed(predicted), _packed(truth)
    found, true, both = (np.bitwise_count(bits).sum(axis=1, dtype=np.int64) for bits in (first, second, first & second))
    return found, true, both


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 1.0)


def _exceeded(predicted: np.ndarray, truth: np.ndarray, intersection: np.ndarray) -> np.ndarray:
    """How many of the ten IoU thresholds a prediction exceeds, int64; all ten where both masks are empty.

    Decided in whole numbers: the IoU exceeds k / 20 when 20 * intersection > k * union, which holds for all k up to
    (20 * intersection - 1) // union. In floats an IoU of exactly 0.55 might pass for more.
    """
    union = predicted.astype(np.int64) + truth - intersection
    largest = (20 * intersection.astype(np.int64) - 1) // np.maximum(union, 1)
    return np.where(union > 0, np.clip(largest - 9, 0, 10), 10)


def _cut(threshold: float) -> int:
    """The smallest value that stands for a probability above a threshold; 256 if none does."""
    return int(np.searchsorted(_PROBABILITIES, threshold, side="right"))


def _exceeded_at(counts: Counts, threshold: float, areas: Sequence[int]) -> np.ndarray:
    """(areas, n) int64: IoU thresholds exceeded by each tile for each smallest area."""
    cut = _cut(threshold)
    predicted = counts.predicted[:, cut]
    kept = _exceeded(predicted, counts.truth, counts.intersection[:, cut])
    emptied = np.where(counts.truth == 0, len(THRESHOLDS), 0)
    return np.where(predicted >= np.asarray(areas)[:, None], kept, emptied)


def _sums(counts: Counts, thresholds: Sequence[float], areas: Sequence[int]) -> np.ndarray:
    """(thresholds, areas) int64: IoU thresholds exceeded by all tiles together."""
    return np.array([_exceeded_at(counts, threshold, areas).sum(axis=1) for threshold in thresholds])


def _means(sums: np.ndarray, tiles: int) -> np.ndarray:
    if not tiles:
        raise ValueError("there are no tiles to score")
    return sums / (len(THRESHOLDS) * tiles)


def _choose(sums: np.ndarray, tiles: int, thresholds: Sequence[float], areas: Sequence[int]) -> Choice:
    means = _means(sums, tiles)
    plateau = np.argwhere(means >= means.max() - PLATEAU / np.sqrt(tiles))
    nearest = np.square(plateau - plateau.mean(axis=0)).sum(axis=1).argmin()
    row, column = plateau[nearest]
    return Choice(float(thresholds[row]), int(areas[column]), float(means[row, column]))
