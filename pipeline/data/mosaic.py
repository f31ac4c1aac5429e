"""Tiles that were cut from one larger picture next to each other, found by the pixels along their common border.

Each tile's grey values are extrapolated by half a pixel to its border, along the last two rows (or columns). Two tiles
belong together where each one's border is the other's nearest among all tiles, and the second nearest is much farther
away. The distance is Euclidean, between borders of mean 0 and standard deviation 1, so that a change of brightness or
contrast from tile to tile does not matter.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

Axis = Literal["vertical", "horizontal"]
"""Tiles one above the other, or side by side."""
MAX_RATIO = 0.3
"""Of the distance to the nearest border and the distance to the second nearest."""
MIN_CONTRAST = 1.0
"""Borders with a smaller standard deviation, in grey values, are not matched: they look like too many others."""


class Pairs(NamedTuple):
    """Neighbouring tiles, m pairs, the most certain first."""

    first: np.ndarray
    """(m,) int64, index of the upper or left tile; no index occurs twice."""
    second: np.ndarray
    """(m,) int64, index of the lower or right tile; no index occurs twice."""
    ratio: np.ndarray
    """(m,) float32, distance to the nearest border over the distance to the second nearest, from 0 (certain) to 1; the
    larger of the first tile's and the second's."""


def find_pairs(images: np.ndarray, axis: Axis, max_ratio: float = MAX_RATIO) -> Pairs:
    """Find the pairs of tiles that were cut next to each other.

    Every tile is compared with every other, in blocks: the competition's 22,000 tiles take less than a minute on two
    cores, in memory that grows with the number of tiles, not with its square. No pair is found of constant tiles, nor
    of a tile that occurs twice.

    Args:
        images: (n, height, width) uint8 grey values, may be memory-mapped.
        axis: "vertical" for tiles one above the other, "horizontal" for tiles side by side.
        max_ratio: pairs with a larger ratio are left out.
    """
    return match(*borders(images, axis), max_ratio)


def borders(images: np.ndarray, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Extrapolate the grey values of tiles to the borders at which they may have neighbours.

    Args:
        images: (n, height, width) uint8 grey values, may be memory-mapped.
        axis: as in ``find_pairs``.

    Returns:
        Lower and upper borders (right and left ones for "horizontal"), (n, width) or (n, height) float32 grey values.
    """
    lines = images if axis == "vertical" else images.transpose(0, 2, 1)

    def at_border(outer: int, inner: int) -> np.ndarray:
        return 1.5 * lines[:, outer].astype(np.float32) - 0.5 * lines[:, inner].astype(np.float32)

    return at_border(-1, -2), at_border(0, 1)


def match(first: np.ndarray, second: np.ndarray, max_ratio: float = MAX_RATIO) -> Pairs:
    """Find the pairs of borders that are each other's nearest.

    Args:
        first: (n, length) float32, the lower (or right) border of each tile.
        second: (n, length) float32, the upper (or left) border of each tile.
        max_ratio: pairs with a larger ratio are left out.
    """
    from sklearn.neighbors import NearestNeighbors

    usable = np.flatnonzero(np.minimum(first.std(axis=1), second.std(axis=1)) >= MIN_CONTRAST)
    if len(usable) < 3:  # there is no second nearest
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    first, second = _standardised(first[usable]), _standardised(second[usable])

    def nearest(of: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances and rows of the two nearest borders of other tiles, (n, 2) each."""
        distance, row = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(among).kneighbors(of)
        others = np.argsort(row == np.arange(len(of))[:, None], axis=1, kind="stable")[:, :2]
        return np.take_along_axis(distance, others, 1), np.take_along_axis(row, others, 1)

    forward, backward = nearest(first, second), nearest(second, first)
    partner = forward[1][:, 0]
    mutual = backward[1][partner, 0] == np.arange(len(first))
    ratio = np.maximum(_ratio(forward[0]), _ratio(backward[0])[partner])
    chosen = np.flatnonzero(mutual & (ratio <= max_ratio))
    chosen = chosen[np.argsort(ratio[chosen], kind="stable")]
    return Pairs(usable[chosen], usable[partner[chosen]], ratio[chosen])


def _ratio(distance: np.ndarray) -> np.ndarray:
    """Of the two columns, (n,) float32; 1 where both are 0."""
    near, far = distance.astype(np.float32).T
    return np.divide(near, far, out=np.ones(len(near), np.float32), where=far > 0)


def _standardised(lines: np.ndarray) -> np.ndarray:
    return (lines - lines.mean(axis=1, keepdims=True)) / lines.std(axis=1, keepdims=True)
