"""Labelled tiles that are left out of training."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from pipeline.config import TILE, ExcludedTiles

TINY = 25
"""Pixels; a mask with fewer, but not without any, is tiny."""


def excluded(table: pd.DataFrame, kinds: Iterable[ExcludedTiles]) -> np.ndarray:
    """Whether each labelled tile is of one of the kinds.

    Args:
        table: of the labelled tiles, with the columns ``constant`` and ``coverage``.
        kinds: ``train.exclude``.

    Returns:
        (n,) bool.
    """
    area = np.rint(table["coverage"].to_numpy() * TILE * TILE)
    found = {"constant": table["constant"].to_numpy(bool), "tiny": (area > 0) & (area < TINY)}
    return np.any([np.zeros(len(table), bool), *(found[kind] for kind in kinds)], axis=0)
