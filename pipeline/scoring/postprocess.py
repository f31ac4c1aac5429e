"""Post-processing: from probabilities to the final masks.

The order is fixed: apply the threshold, fill holes, drop small parts, then empty whole tiles (a mask below the smallest
area, a constant image, a faint tile), then follow labelled neighbours. ``rule_search`` chooses which of the rules to
use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import get_args

import cv2
import numpy as np

from pipeline.config import Rule
from pipeline.scoring import neighbors as neighbor_rules
from pipeline.scoring import thresholding
from pipeline.scoring.chunks import chunks
from pipeline.scoring.images import is_constant
from pipeline.scoring.neighbors import Neighbors

ALL: tuple[str, ...] = get_args(Rule)
"""Names of all rules."""
PLAIN = tuple(rule for rule in ALL if rule not in neighbor_rules.RULES)
"""Names of the rules that depend on nothing but the tile itself."""
SMALL_PART = 0.1
"""``drop_small_parts`` drops parts smaller than this share of the tile's largest part."""
GATE_PIXELS = 20
"""Pixels that must be above the gate's level for a tile to keep its mask; a single pixel exceeds a level too easily."""


@dataclass(frozen=True)
class PostProcessing:
    """How probabilities become masks."""

    threshold: float
    """A pixel is salt when its probability is above it."""
    min_area: int
    """Masks with fewer pixels become empty."""
    rules: tuple[str, ...] = ()
    """Names of ``config.Rule``."""
    gate: float | None = None
    """Level of ``empty_gate``."""


def apply(
    probabilities: np.ndarray, images: np.ndarray, how: PostProcessing, neighbors: Neighbors | None = None
) -> np.ndarray:
    """Masks from probabilities.

    Args:
        probabilities: (n, height, width) uint8, v stands for v / 255.
        images: (n, height, width) uint8 grey values of the same tiles, may be memory-mapped.
        how: threshold, smallest area and rules.
        neighbors: of the same tiles; None where none are known.

    Returns:
        (n, height, width) bool.
    """
    constant = is_constant(images) if "constant_empty" in how.rules else np.zeros(len(images), bool)
    return masks_of(probabilities, constant, how, neighbors)


def masks_of(
    probabilities: np.ndarray, constant: np.ndarray, how: PostProcessing, neighbors: Neighbors | None
) -> np.ndarray:
    """As ``apply``, from (n,) bool that says which images have a single grey value."""
    masks = shaped(thresholding.apply(probabilities, how.threshold, 0), how.rules)
    # The smallest area applies to the mask after the rules above; without them the result is ``thresholding.apply``'s.
    masks[masks.sum(axis=(1, 2)) < how.min_area] = False
    if "constant_empty" in how.rules:
        masks[constant] = False
    if how.gate is not None:
        masks[faint(probabilities, how.gate)] = False
    return masks if neighbors is None else neighbor_rules.apply(masks, how.rules, neighbors)


def faint(probabilities: np.ndarray, level: float) -> np.ndarray:
    """Return which tiles have fewer than ``GATE_PIXELS`` pixels with a probability above a level.

    Args:
        probabilities: (n, height, width) uint8.
        level: a probability, between 0 and 1.

    Returns:
        (n,) bool.
    """
    return thresholding.apply(probabilities, level, 0).sum(axis=(1, 2)) < GATE_PIXELS


def fill_holes(masks: np.ndarray) -> np.ndarray:
    """Fill holes: background that is not connected with the tile's border becomes salt.

    Args:
        masks: (n, height, width) bool.

    Returns:
        (n, height, width) bool.
    """

    def filled(picture: np.ndarray, framed: np.ndarray) -> np.ndarray:
        # The margins of the tiles touch, so that all background outside holes is one region: the first corner's.
        _, labels = cv2.connectedComponents((~picture).view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
        return (labels.reshape(framed.shape) != labels[0, 0])[:, 1:-1, 1:-1]

    return _in_pictures(masks, filled)


def drop_small_parts(masks: np.ndarray) -> np.ndarray:
    """Drop parts that are smaller than a tenth of their tile's largest; pixels that touch at a corner are one part.

    Args:
        masks: (n, height, width) bool.

    Returns:
        (n, height, width) bool.
    """

    def large(picture: np.ndarray, framed: np.ndarray) -> np.ndarray:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(picture.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
        tile, area = stats[:, cv2.CC_STAT_TOP] // framed.shape[1], stats[:, cv2.CC_STAT_AREA].copy()
        area[0] = 0  # the background
        largest = np.zeros(len(framed), area.dtype)
        np.maximum.at(largest, tile, area)
        kept = (area >= SMALL_PART * largest[tile]) & (area > 0)
        return kept[labels].reshape(framed.shape)[:, 1:-1, 1:-1]

    return _in_pictures(masks, large)


SHAPING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fill_holes": fill_holes,
    "drop_small_parts": drop_small_parts,
}
"""Rules that depend on nothing but the mask, in the order in which they are applied."""


def shaped(masks: np.ndarray, rules: Iterable[str]) -> np.ndarray:
    """Masks after those of the named rules that are in ``SHAPING``."""
    for name, rule in SHAPING.items():
        if name in rules:
            masks = rule(masks)
    return masks


def _in_pictures(masks: np.ndarray, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Change many masks with one call of OpenCV: stacked in one picture, each with a margin of one pixel.

    Args:
        masks: (n, height, width) bool.
        change: takes the picture, (m * (height + 2), width + 2) bool, and the same as (m, height + 2, width + 2);
            returns the new masks, (m, height, width) bool.
    """
    out = masks.copy()
    # Neither an empty mask nor a full one has a hole or a second part.
    area = masks.sum(axis=(1, 2))
    some = np.flatnonzero((area > 0) & (area < masks[0].size)) if len(masks) else np.zeros(0, np.intp)
    for part in chunks(len(some)):
        rows = some[part]
        framed = np.pad(masks[rows], ((0, 0), (1, 1), (1, 1)))
        out[rows] = change(framed.reshape(-1, framed.shape[2]), framed)
    return out
