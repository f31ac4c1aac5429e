"""Rules for tiles that were cut directly above or below a labelled tile: what is known of its mask is taken over.

Out-of-fold tiles show what the rules gain on test tiles: for a test tile the masks of all labelled tiles are known, and
for an out-of-fold tile those of all others; its own mask is never used for its own prediction. Both kinds of tiles are
a random part of the same sections, so that a labelled neighbour is as frequent for both. The rules for a fold are
chosen without the tiles that have a neighbour in it (see ``validation``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

SEAM = 8
"""``neighbor_border`` changes at most this many pixels of a column. In the competition, more than 96 % of the labelled
pixels that near to the seam are as at the seam."""


@dataclass(frozen=True)
class Neighbors:
    """The labelled tiles directly above and below each of n tiles."""

    above: np.ndarray
    """(n,) int64, index in ``masks``; -1 where there is none."""
    below: np.ndarray
    """(n,) int64, index in ``masks``; -1 where there is none."""
    own: np.ndarray
    """(n,) int64, index in ``masks`` of the tile itself; -1 for a test tile."""
    masks: np.ndarray
    """(m, height, width) 0/1, of all labelled tiles, may be memory-mapped."""

    @property
    def present(self) -> np.ndarray:
        """Which tiles have a labelled neighbour, (n,) bool."""
        return (self.above >= 0) | (self.below >= 0)

    def take(self, tiles: Any) -> Neighbors:
        """Those of some tiles, by index, slice or (n,) bool."""
        return replace(self, above=self.above[tiles], below=self.below[tiles], own=self.own[tiles])

    def beside(self, tiles: np.ndarray) -> np.ndarray:
        """Which tiles have a neighbour among some of them, both as (n,) bool."""
        among = np.zeros(len(self.masks) + 1, bool)  # the last one stands for no neighbour, whose index is -1
        among[self.own[tiles]] = True
        among[-1] = False
        return among[self.above] | among[self.below]


def border(masks: np.ndarray, others: np.ndarray, lower: bool) -> np.ndarray:
    """Near the seam, columns follow the neighbour's adjoining row, unless that row is all salt.

    Salt that begins at the seam where the neighbour has none is removed, and rock that begins at the seam where the
    neighbour has salt is filled, if it ends within ``SEAM`` pixels.

    Args:
        masks: (n, height, width) bool, predicted; row 0 is at the seam.
        others: (n, height, width) bool, the neighbours' masks; the last row is at the seam.
        lower: whether the tiles are below their neighbours. If not, both are upside down.

    Returns:
        (n, height, width) bool.
    """
    line = others[:, -1:]
    agrees = masks == line
    wrong = np.where(agrees.any(axis=1), agrees.argmax(axis=1), masks.shape[1])[:, None]
    near = np.arange(masks.shape[1])[:, None] < wrong
    return np.where(near & (wrong <= SEAM) & ~line.all(axis=2, keepdims=True), line, masks)


def empty(masks: np.ndarray, others: np.ndarray, lower: bool) -> np.ndarray:
    """Below a tile whose last row is without salt, or all salt, nothing is labelled; nor above a tile without salt.

    Above such a tile, the last row may be all salt, so a tile is emptied there only if less than half of that row is
    predicted. Arguments as in ``border``.
    """
    if lower:
        line = others[:, -1:]
        emptied = (line == line[:, :, :1]).all(axis=(1, 2))
    else:
        emptied = ~others.any(axis=(1, 2)) & (masks[:, :1].mean(axis=(1, 2)) < 0.5)
    return np.where(emptied[:, None, None], False, masks)


def stripe(masks: np.ndarray, others: np.ndarray, lower: bool) -> np.ndarray:
    """The mask of a neighbour that consists of vertical stripes continues. Arguments as in ``border``."""
    partly = others.any(axis=(1, 2)) & ~others.all(axis=(1, 2))
    continues = partly & (others == others[:, :1]).all(axis=(1, 2))
    return np.where(continues[:, None, None], others, masks)


RULES: dict[str, Callable[[np.ndarray, np.ndarray, bool], np.ndarray]] = {
    "neighbor_border": border,
    "neighbor_empty": empty,
    "neighbor_stripe": stripe,
}
"""In the order in which they are applied."""


def apply(masks: np.ndarray, rules: Iterable[str], neighbors: Neighbors) -> np.ndarray:
    """Masks after those of the named rules that are in ``RULES``.

    Args:
        masks: (n, height, width) bool, predicted.
        rules: names of ``config.Rule``.
        neighbors: of the same tiles.

    Returns:
        (n, height, width) bool.
    """
    masks = masks.copy()
    for name in [name for name in RULES if name in rules]:
        for neighbor, lower in ((neighbors.above, True), (neighbors.below, False)):
            tiles = np.flatnonzero(neighbor >= 0)
            if len(tiles):
                down = slice(None) if lower else slice(None, None, -1)
                others = neighbors.masks[neighbor[tiles]][:, down] > 0
                masks[tiles] = RULES[name](masks[tiles][:, down], others, lower)[:, down]
    return masks
