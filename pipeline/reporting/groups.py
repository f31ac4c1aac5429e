"""Points that an experiment loses by coverage and depth, and the tiles that show where.

All functions take the table of ``scores.csv``: a row per out-of-fold tile with its id, depth in feet, coverage,
cross-fitted score, IoU and predicted share of salt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.config import TILE

if TYPE_CHECKING:
    import pandas as pd

SLIVER = 0.1
"""Highest coverage of a sliver of salt."""
COVERAGE_CLASSES = (
    (0, 0, "empty"),
    (1e-9, SLIVER, "to 10 %"),
    (0.1, 0.3, "to 30 %"),
    (0.3, 0.6, "to 60 %"),
    (0.6, 1, "over 60 %"),
)
"""Lowest and highest coverage, and name."""
DEPTH_CLASSES = 5
"""Of about equally many tiles."""
_MOST_DECIMALS = 10
"""Numbers that are still closer to each other are shown as they are."""
EXAMPLES = 6
"""Tiles of a gallery."""


class Loss(NamedTuple):
    """Points that a group of tiles loses; a tile is worth one point."""

    name: str
    points: float
    tiles: int
    score: float
    """Mean score."""
    zeros: int
    """Tiles with a score of 0."""


def by_coverage(scores: pd.DataFrame) -> list[Loss]:
    """Loss of tiles with similar coverage; classes without tiles are left out."""
    return [
        _loss(name, scores["score"][scores["coverage"].between(low, high)])
        for low, high, name in COVERAGE_CLASSES
        if scores["coverage"].between(low, high).any()
    ]


def by_depth(scores: pd.DataFrame) -> list[Loss]:
    """Loss of tiles at similar depth, the shallowest first; empty where all have one depth."""
    import pandas as pd

    classes, limits = pd.qcut(scores["depth"], DEPTH_CLASSES, labels=False, retbins=True, duplicates="drop")
    names = _distinct(limits)
    return [
        _loss(f"{names[at]}-{names[at + 1]}", group) for at, group in scores.groupby(classes.astype("Int64"))["score"]
    ]


def _distinct(numbers: np.ndarray) -> list[str]:
    """Different numbers as texts with as few decimals as tell them apart."""
    texts = ([f"{number:.{decimals}f}" for number in numbers] for decimals in range(_MOST_DECIMALS))
    return next((found for found in texts if len({*map(float, found)}) == len(found)), [*map(str, numbers)])


def wrong_area(scores: pd.DataFrame) -> np.ndarray:
    """Pixels of each tile that were missed or are predicted salt that is none, (n,) int64."""
    predicted, true = (np.rint(scores[name].to_numpy() * TILE**2) for name in ("predicted", "coverage"))
    iou = scores["iou"].to_numpy()
    # The union minus the intersection, from the sum of both areas and their ratio.
    return np.rint((predicted + true) * (1 - iou) / (1 + iou)).astype(np.int64)


def by_error(scores: pd.DataFrame) -> np.ndarray:
    """Rows from the worst tile to the best: by wrong area, then by score, then by id.

    Returns:
        (n,) int64, positions of the rows.
    """
    return np.lexsort((scores["id"].to_numpy(str), scores["score"].to_numpy(), -wrong_area(scores)))


def worst(scores: pd.DataFrame) -> np.ndarray:
    """Positions of the tiles with salt that have the largest wrong areas."""
    return _first(scores, (scores["coverage"] > 0) & (scores["score"] < 1))


def false_alarms(scores: pd.DataFrame) -> np.ndarray:
    """Positions of the empty tiles with the largest predicted areas."""
    return _first(scores, (scores["coverage"] == 0) & (scores["predicted"] > 0))


def slivers(scores: pd.DataFrame) -> np.ndarray:
    """Positions of the tiles with little salt and the lowest scores; of equal ones, those with most salt."""
    order = np.lexsort((scores["id"].to_numpy(str), -scores["coverage"].to_numpy(), scores["score"].to_numpy()))
    return order[(scores["coverage"].between(1e-9, SLIVER) & (scores["score"] < 1)).to_numpy()[order]][:EXAMPLES]


def _first(scores: pd.DataFrame, chosen: pd.Series) -> np.ndarray:
    order = by_error(scores)
    return order[chosen.to_numpy()[order]][:EXAMPLES]


def _loss(name: str, scores: pd.Series) -> Loss:
    return Loss(name, float((1 - scores).sum()), len(scores), float(scores.mean()), int((scores == 0).sum()))
