"""Galleries of an experiment's page: tiles that show where points are lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.reporting import groups, pages, tile_images
from pipeline.scoring import postprocess
from pipeline.scoring.neighbors import Neighbors
from pipeline.scoring.postprocess import PostProcessing

if TYPE_CHECKING:
    import pandas as pd

WORST, FALSE_ALARMS, SLIVERS = "worst", "false-alarms", "slivers"
"""Addresses of the galleries in the page."""


@dataclass(frozen=True)
class Tiles:
    """Out-of-fold tiles with everything that is drawn of them."""

    scores: pd.DataFrame
    """The rows of ``scores.csv``, n tiles."""
    images: np.ndarray
    """(n, 101, 101) uint8 grey values."""
    truth: np.ndarray
    """(n, 101, 101) 0/1."""
    probabilities: np.ndarray
    """(n, 101, 101) uint8, v stands for v / 255."""
    neighbors: Neighbors | None = None
    """None where none are known."""


@dataclass(frozen=True)
class Gallery:
    """Some tiles, drawn."""

    link: str
    """Its address in the page."""
    title: str
    note: str
    tiles: list[dict[str, Any]]


def draw(tiles: Tiles, how: PostProcessing) -> list[Gallery]:
    """The galleries of an experiment: the worst tiles, false alarms, and slivers.

    Args:
        tiles: all out-of-fold tiles.
        how: makes the masks that are drawn.
    """
    scores = tiles.scores
    salt, alarm = scores["coverage"] > 0, (scores["coverage"] == 0) & (scores["predicted"] > 0)
    sliver = scores["coverage"].between(1e-9, groups.SLIVER)
    return [
        Gallery(
            WORST,
            "Worst by lost area",
            f"Of {int(salt.sum()):,} tiles with salt, those with the most pixels missed or wrongly predicted.",
            _tiles(tiles, groups.worst(scores), how),
        ),
        Gallery(
            FALSE_ALARMS,
            "False positives on tiles without salt",
            f"Of {int((~salt).sum()):,} tiles without salt, {int(alarm.sum()):,} have a predicted mask and score 0; "
            "the largest masks.",
            _tiles(tiles, groups.false_alarms(scores), how),
        ),
        Gallery(
            SLIVERS,
            "Tiles with up to 10 % salt",
            f"Of {int(sliver.sum()):,} tiles with so little salt, those with the lowest scores; of equal ones, those "
            "with most salt.",
            _tiles(tiles, groups.slivers(scores), how),
        ),
    ]


def _tiles(tiles: Tiles, rows: np.ndarray, how: PostProcessing) -> list[dict[str, Any]]:
    if not len(rows):
        return []
    images, truth, found = tiles.images[rows], tiles.truth[rows], tiles.probabilities[rows]
    masks = postprocess.apply(found, images, how, tiles.neighbors.take(rows) if tiles.neighbors else None)
    wrong = groups.wrong_area(tiles.scores)
    drawn = []
    for at, row in enumerate(rows):
        tile = tiles.scores.iloc[row]
        # A fold's cross-fitted choice may differ from the choice on all folds.
        gone = tile["predicted"] > 0 and not masks[at].any()
        drawn.append(
            {
                "id": tile["id"],
                "depth": f"{tile['depth']:.0f}",
                "fold": int(tile["fold"]),
                "coverage": _percent(tile["coverage"]),
                "predicted": _percent(tile["predicted"]),
                "score": float(tile["score"]),
                "wrong": int(wrong[row]),
                "note": "; no mask with the final threshold and rules" if gone else "",
                "png": pages.data_url(tile_images.panels(images[at], truth[at], found[at], masks[at])),
            }
        )
    return drawn


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", "\u00a0%")
