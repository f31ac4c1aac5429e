"""Tiles of the built-in survey: cut from a section and sorted into kinds by their masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.config import TILE
from pipeline.data.sources.geology.grid import HEIGHT, WIDTH
from pipeline.data.sources.geology.section import DEEPEST, SHALLOWEST, Section

CONSTANT, EMPTY, BANDS = "constant", "empty", "bands"
COVERAGES = {"sparse": (0.0, 0.1), "some": (0.1, 0.36), "half": (0.36, 0.67), "most": (0.67, 1.0)}
"""Kinds of tiles with salt by the share of pixels that it covers."""

_MARGIN = 9
"""Samples by which a cell of a section is wider than its tile, at least; a tile has a random place in its cell."""
_MIN_BAND = 5
"""Fewest columns with salt, and fewest without, of a mask of vertical bands."""


@dataclass(frozen=True)
class SurveyTile:
    """A tile: (101, 101) uint8 image and mask (1 is salt), and its centre's depth in feet."""

    image: np.ndarray
    mask: np.ndarray
    depth: int


def constant_tile(rng: np.random.Generator) -> SurveyTile:
    """A tile outside of the recorded area, in most cases black."""
    grey = 0 if rng.random() < 0.8 else int(rng.integers(1, 256))
    depth = int(rng.integers(round(SHALLOWEST) + TILE // 2, round(DEEPEST) - TILE // 2))
    return SurveyTile(np.full((TILE, TILE), grey, np.uint8), np.zeros((TILE, TILE), np.uint8), depth)


def cut_tiles(section: Section, rng: np.random.Generator) -> Iterator[SurveyTile]:
    """Cut tiles from a section in random order; no two share a pixel."""
    rows, columns = (max(1, size // (TILE + _MARGIN)) for size in (HEIGHT, WIDTH))
    tall, wide = HEIGHT // rows, WIDTH // columns
    for cell in rng.permutation(rows * columns):
        row = int(cell // columns * tall + rng.integers(0, tall - TILE + 1))
        column = int(cell % columns * wide + rng.integers(0, wide - TILE + 1))
        window = (slice(row, row + TILE), slice(column, column + TILE))
        depth = round(section.depth(row + TILE // 2))
        yield SurveyTile(section.image[window], section.salt[window].astype(np.uint8), depth)


def kind_of(mask: np.ndarray) -> str | None:
    """Kind of a tile by its mask; None if it is all salt, as no tile of the competition is."""
    coverage = mask.mean()
    if coverage == 0:
        return EMPTY
    if coverage == 1:
        return None
    return next(kind for kind, (least, most) in COVERAGES.items() if least < coverage <= most)


def vertical_bands(mask: np.ndarray) -> np.ndarray | None:
    """The mask as drawn by an annotator of whole columns; None if the two masks would have too little in common."""
    columns = mask.mean(axis=0) > 0.5
    if not _MIN_BAND <= columns.sum() <= TILE - _MIN_BAND:
        return None
    bands = np.broadcast_to(columns.astype(np.uint8), mask.shape).copy()
    return bands if (bands & mask).sum() > 0.5 * (bands | mask).sum() else None
