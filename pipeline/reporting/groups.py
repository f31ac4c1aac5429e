"""Tiles of an experiment's report, grouped by coverage and depth and ordered by error.

All functions take the table of ``scores.csv``: a row per out-of-fold tile with its id, depth in feet, coverage,
cross-fitted score, IoU and predicted share of salt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import TILE

if TYPE_CHECKING:
    import pandas as pd

Group = tuple[str, float, int]
"""Name, mean score and number of tiles."""
COVERAGE_CLASSES = (
    (0, 0, "empty"),
    (1e-9, 0.1, "to 10 %"),
    (0.1, 0.3, "to 30 %"),
    (0.3, 0.6, "to 60 %"),
    (0.6, 1, "more"),
)
"""Lowest and highest coverage, and name."""
DEPTH_CLASSES = 5
"""Of about equally many tiles."""
EXAMPLES = 4
"""Tiles shown of the worst, the median and the best."""


def by_coverage(scores: pd.DataFrame) -> list[Group]:
    """Mean score of tiles with similar coverage; classes without tiles are left out."""
    groups = [
        (name, scores.loc[(scores["coverage"] >= low) & (scores["coverage"] <= high), "score"])
        for low, high, name in COVERAGE_CLASSES
    ]
    return [(name, float(group.mean()), len(group)) for name, group in groups if len(group)]


def by_depth(scores: pd.DataFrame) -> list[Group]:
    """Mean score of tiles at similar depth, the shallowest first."""
    import pandas as pd

    classes = pd.qcut(scores["depth"], DEPTH_CLASSES, duplicates="drop")
    groups = scores.groupby(classes, observed=True)["score"]
    return [(f"{at.left:.0f}-{at.right:.0f}", float(group.mean()), len(group)) for at, group in groups]


def by_error(scores: pd.DataFrame) -> np.ndarray:
    """Rows from the worst tile to the best: by score, then by wrong area, then by id.

    Returns:
        (n,) int64, positions of the rows.
    """
    predicted, true = (np.rint(scores[name].to_numpy() * TILE**2) for name in ("predicted", "coverage"))
    iou = scores["iou"].to_numpy()
    # The union less the intersection, from the sum of both areas and their ratio.
    wrong = np.rint((predicted + true) * (1 - iou) / (1 + iou))
    return np.lexsort((scores["id"].to_numpy(str), -wrong, scores["score"].to_numpy()))


def examples(scores: pd.DataFrame) -> dict[str, np.ndarray]:
    """The worst, the median and the best tiles whose mask has a border; full and empty ones show little.

    Returns:
        Positions of the rows for each name, up to ``EXAMPLES`` each.
    """
    order = by_error(scores)
    order = order[scores["coverage"].between(0.001, 0.97).to_numpy()[order]]
    middle = max(len(order) // 2 - EXAMPLES // 2, 0)
    return {"worst": order[:EXAMPLES], "median": order[middle : middle + EXAMPLES], "best": order[-EXAMPLES:]}
