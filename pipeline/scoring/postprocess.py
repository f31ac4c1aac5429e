"""Rules after the threshold: from probabilities to masks, and which of them are worth taking.

Competitors cleaned their masks by hand-made rules, some to no avail. Here a rule is taken where it raises the score on
out-of-fold tiles by more than chance. The order is fixed: cut, fill holes, drop small parts, then empty whole tiles (a
mask below the smallest area, a constant image, a faint tile).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import cv2
import numpy as np

from pipeline.config import Rule
from pipeline.scoring import metric

CHUNK = 256
"""Tiles that are labelled as one picture."""
PART = 0.1
"""Parts smaller than this share of the tile's largest are dropped by ``drop_small_parts``."""
GATE_PIXELS = 20
"""Pixels that must be above the level for a tile to pass the gate: a single one is too easily above any level."""
GATE_LEVELS = tuple(percent / 100 for percent in range(50, 96, 5))
"""Levels that are tried for the gate."""
ALL: tuple[str, ...] = get_args(Rule)
CONFIDENCE = 1 - 0.05 / len(ALL)
"""Of the bootstrap interval of a rule's gain: 95 % shared out over the rules that are tried (Bonferroni)."""


@dataclass(frozen=True)
class PostProcessing:
    """What turns probabilities into masks."""

    threshold: float
    """A pixel is salt when its probability is above it."""
    min_area: int
    """Masks with fewer pixels become empty."""
    rules: tuple[str, ...] = ()
    """Names of ``config.Rule``."""
    gate: float | None = None
    """Level of ``empty_gate``."""


@dataclass(frozen=True)
class Gain:
    """What a rule adds to the score of the tiles that it was tried on, after the rules that were taken before it."""

    rule: str
    taken: bool
    gain: float
    """Mean over tiles."""
    low: float
    """Bounds of its paired bootstrap interval at ``CONFIDENCE``."""
    high: float


def fill_holes(masks: np.ndarray) -> np.ndarray:
    """Masks without holes: what is not salt and not connected with the tile's border becomes salt.

    Args:
        masks: (n, height, width) bool.

    Returns:
        (n, height, width) bool.
    """

    def filled(picture: np.ndarray, framed: np.ndarray) -> np.ndarray:
        # The transforms between the tiles are connected, so that all outside is one region: that of the first corner.
        _, labels = cv2.connectedComponents((~picture).view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
        return (labels.reshape(framed.shape) != labels[0, 0])[:, 1:-1, 1:-1]

    return _as_pictures(masks, filled)


def drop_small_parts(masks: np.ndarray) -> np.ndarray:
    """Masks without parts that are smaller than a tenth of their tile's largest; parts touch at corners, too.

    Args:
        masks: (n, height, width) bool.

    Returns:
        (n, height, width) bool.
    """

    def large(picture: np.ndarray, framed: np.ndarray) -> np.ndarray:
        _, labels, about, _ = cv2.connectedComponentsWithStats(picture.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
        tile, area = about[:, cv2.CC_STAT_TOP] // framed.shape[1], about[:, cv2.CC_STAT_AREA].copy()
        area[0] = 0  # the background
        largest = np.zeros(len(framed), area.dtype)
        np.maximum.at(largest, tile, area)
        kept = (area >= PART * largest[tile]) & (area > 0)
        return kept[labels].reshape(framed.shape)[:, 1:-1, 1:-1]

    return _as_pictures(masks, large)


def _as_pictures(masks: np.ndarray, work: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Masks changed many at a time: stacked in one picture, each with a margin, for one call of OpenCV."""
    out = masks.copy()
    # Neither an empty mask nor a full one has a hole or a part.
    area = masks.sum(axis=(1, 2))
    some = np.flatnonzero((area > 0) & (area < masks[0].size)) if len(masks) else np.zeros(0, np.intp)
    for begin in range(0, len(some), CHUNK):
        rows = some[begin : begin + CHUNK]
        framed = np.pad(masks[rows], ((0, 0), (1, 1), (1, 1)))
        out[rows] = work(framed.reshape(-1, framed.shape[2]), framed)
    return out


def constant(images: np.ndarray) -> np.ndarray:
    """Which images have one grey value, (n,) bool; (n, height, width) uint8, may be memory-mapped."""
    return images.min(axis=(1, 2)) == images.max(axis=(1, 2))


def faint(probabilities: np.ndarray, level: float) -> np.ndarray:
    """Which tiles have fewer than 20 pixels with a probability above a level, (n,) bool; (n, height, width) uint8."""
    return metric.apply(probabilities, level, 0).sum(axis=(1, 2)) < GATE_PIXELS


def apply(probabilities: np.ndarray, images: np.ndarray, how: PostProcessing) -> np.ndarray:
    """Masks from probabilities.

    Args:
        probabilities: (n, height, width) uint8, v stands for v / 255.
        images: (n, height, width) uint8 grey values of the same tiles, may be memory-mapped.
        how: threshold, smallest area and rules.

    Returns:
        (n, height, width) bool.
    """
    masks = shaped(metric.apply(probabilities, how.threshold, 0), how.rules)
    # On what is left of a mask; without such rules, as ``metric.apply`` does it.
    masks[masks.sum(axis=(1, 2)) < how.min_area] = False
    if "constant_empty" in how.rules:
        masks[constant(images)] = False
    if how.gate is not None:
        masks[faint(probabilities, how.gate)] = False
    return masks


SHAPING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fill_holes": fill_holes,
    "drop_small_parts": drop_small_parts,
}
"""Rules that look at each mask by itself, in the order in which they are applied."""


def shaped(masks: np.ndarray, rules: Iterable[str]) -> np.ndarray:
    """Masks after those of some rules that are of ``SHAPING``."""
    for name, rule in SHAPING.items():
        if name in rules:
            masks = rule(masks)
    return masks


class Trial:
    """Scores of tiles with one threshold, and any smallest area and rules; what was drawn once is kept.

    Args:
        probabilities: (n, height, width) uint8.
        truth: (n, height, width) 0/1.
        blank: (n,) bool, which images are constant.
        counts: of the same tiles.
        threshold: a pixel is salt when its probability is above it.
    """

    def __init__(
        self,
        probabilities: np.ndarray,
        truth: np.ndarray,
        blank: np.ndarray,
        counts: metric.Counts,
        threshold: float,
    ) -> None:
        self._probabilities, self._truth, self._blank, self._counts = probabilities, truth, blank, counts
        self._threshold = threshold
        self._areas = {frozenset[str](): metric.areas_at(counts, threshold, 0)}

    def areas(self, how: PostProcessing) -> tuple[np.ndarray, np.ndarray]:
        """Predicted area and intersection with the truth of each tile in pixels, (n,) int64, as ``apply`` draws."""
        predicted, both = self._drawn(frozenset(how.rules) & {*SHAPING})
        kept = predicted >= how.min_area
        if "constant_empty" in how.rules:
            kept = kept & ~self._blank
        if how.gate is not None:
            kept = kept & (metric.areas_at(self._counts, how.gate, 0)[0] >= GATE_PIXELS)
        return np.where(kept, predicted, 0), np.where(kept, both, 0)

    def scores(self, how: PostProcessing) -> np.ndarray:
        """The competition's score of each tile, (n,) float64."""
        return metric.scores_of(*self.areas(how), self._counts.truth)

    def _drawn(self, rules: frozenset[str]) -> tuple[np.ndarray, np.ndarray]:
        if rules not in self._areas:
            # No such rule puts salt into an empty mask, so that only the others are drawn.
            predicted, both = (found.copy() for found in self._areas[frozenset()])
            for begin in range(0, len(predicted), CHUNK):
                rows = begin + np.flatnonzero(predicted[begin : begin + CHUNK])
                masks = shaped(metric.apply(self._probabilities[rows], self._threshold, 0), rules)
                predicted[rows] = masks.sum(axis=(1, 2))
                both[rows] = (masks & (self._truth[rows] > 0)).sum(axis=(1, 2))
            self._areas[rules] = (predicted, both)
        return self._areas[rules]


def choose(
    trial: Trial, how: PostProcessing, chosen_on: np.ndarray, wanted: Sequence[str] | None = None
) -> tuple[PostProcessing, list[Gain]]:
    """The rules that raise the score by more than chance, by forward selection.

    One after the other the rule with the largest gain is taken, as long as the lower bound of its paired bootstrap
    interval is above 0.

    Args:
        trial: of the threshold.
        how: threshold and smallest area.
        chosen_on: (n,) bool, tiles that have a say.
        wanted: these rules, gain or not; None for those with a gain.

    Returns:
        ``how`` with the rules, and what each rule that was tried gains.
    """
    left = [rule for rule in ALL if wanted is None or rule in wanted]
    gains: list[Gain] = []
    while left:
        base = trial.scores(how)[chosen_on]
        tried = [_gain(trial, how, rule, base, chosen_on) for rule in (left if wanted is None else left[:1])]
        best = max(tried, key=lambda gain: (gain.low > 0, gain.gain))
        if wanted is None and best.low <= 0:
            return how, gains + tried
        gains.append(replace(best, taken=True))
        left.remove(best.rule)
        how = _with(how, best.rule)
        if best.rule == "empty_gate":
            how = replace(how, gate=_level(_at_levels(trial, how)[:, chosen_on]))
    return how, gains


def _with(how: PostProcessing, rule: str) -> PostProcessing:
    return replace(how, rules=tuple(each for each in ALL if each == rule or each in how.rules))


def _gain(trial: Trial, how: PostProcessing, rule: str, base: np.ndarray, chosen_on: np.ndarray) -> Gain:
    how = _with(how, rule)
    if rule == "empty_gate":
        # The best of ten levels is partly luck: each half of the tiles is scored with the level that the other chose.
        table = _at_levels(trial, how)[:, chosen_on]
        scores = base.copy()
        for half in halves(len(base)):
            if not half.all():
                scores[half] = table[GATE_LEVELS.index(_level(table[:, ~half])), half]
    else:
        scores = trial.scores(how)[chosen_on]
    return Gain(rule, False, *paired(scores, base, CONFIDENCE))


def _at_levels(trial: Trial, how: PostProcessing) -> np.ndarray:
    """Scores with the gate at each level, (levels, n)."""
    return np.stack([trial.scores(replace(how, gate=level)) for level in GATE_LEVELS])


def _level(table: np.ndarray) -> float:
    """The level with the best mean score, the lowest of several."""
    return GATE_LEVELS[int(table.mean(axis=1).argmax())]


def halves(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Every other tile, and those between, (count,) bool each: what is chosen on one half is tried on the other."""
    even = np.arange(count) % 2 == 0
    return even, ~even


def paired(one: np.ndarray, other: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Mean difference of two scores of the same tiles, (n,) each, and its bootstrap interval."""
    # Tenths, so that equal differences are equal numbers.
    apart = np.round(one - other, 6)
    return float(apart.mean()), *metric.bootstrap(apart, level=level)
