"""Tiles that occur twice: with the same pixels, or nearly so."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.scoring.images import is_constant

MIN_CORRELATION = 0.95
"""Of the grey values of two tiles that count as near-duplicates."""
_SIDE = 16
"""Of the reduced tiles, in pixels, by which candidates are searched for."""


class Similar(NamedTuple):
    """Similar tiles, m pairs, the most similar first."""

    first: np.ndarray
    """(m,) int64, the smaller index of each pair."""
    second: np.ndarray
    """(m,) int64, the larger index of each pair."""
    correlation: np.ndarray
    """(m,) float64, of the grey values of all pixels."""


def copies(images: np.ndarray) -> np.ndarray:
    """Number the tiles by their pixels.

    Args:
        images: (n, height, width) uint8 grey values, may be memory-mapped.

    Returns:
        (n,) int64, index of the first tile with the same pixels: its own index for a tile that occurs first.
    """
    first: dict[bytes, int] = {}
    digests = (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images)
    return np.array([first.setdefault(digest, index) for index, digest in enumerate(digests)], np.int64)


def originals(images: np.ndarray) -> np.ndarray:
    """As ``copies``, but tiles of one grey value are no copies: they look alike wherever they were cut."""
    return np.where(is_constant(images), np.arange(len(images)), copies(images))


def near_duplicates(images: np.ndarray, min_correlation: float = MIN_CORRELATION) -> Similar:
    """Pair each tile with the one that is most similar to it, and keep the pairs with a high correlation.

    The most similar tile is searched for among tiles reduced to 16x16 pixels; 22,000 take about a minute on two cores.
    Constant tiles have no correlation and are left out.

    Args:
        images: (n, height, width) uint8 grey values, may be memory-mapped.
        min_correlation: pairs with a lower correlation are left out.
    """
    from sklearn.neighbors import NearestNeighbors

    small = np.array([cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel() for image in images])
    usable = np.flatnonzero(small.std(axis=1) > 0) if len(small) else np.zeros(0, np.int64)
    if len(usable) < 2:
        return Similar(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    small = small[usable].astype(np.float32)
    small = (small - small.mean(axis=1, keepdims=True)) / small.std(axis=1, keepdims=True)
    _, row = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(small).kneighbors(small)
    own = np.arange(len(usable))
    other = np.where(row[:, 0] == own, row[:, 1], row[:, 0])
    pairs = usable[np.unique(np.sort(np.stack([own, other], axis=1), axis=1), axis=0)]
    correlation = np.array([np.corrcoef(images[a].ravel(), images[b].ravel())[0, 1] for a, b in pairs])
    order = np.argsort(-correlation, kind="stable")
    order = order[correlation[order] >= min_correlation]
    return Similar(pairs[order, 0], pairs[order, 1], correlation[order])
