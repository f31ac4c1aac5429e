"""What the out-of-fold predictions say: the cross-fitted score, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import metric
from pipeline.config import SubmitSettings

PARTS = 5
"""Parts that the tiles of a single fold are dealt to, to cross-fit within it."""


@dataclass(frozen=True)
class Validation:
    """What the out-of-fold predictions say.

    The cross-validated score is cross-fitted: threshold and smallest area for one fold's tiles are chosen on the other
    folds' tiles, so that no tile has a say in how it is scored.
    """

    choice: metric.Choice
    """Chosen on all tiles; what the test tiles get."""
    score: float
    """Cross-fitted."""
    folds: dict[int, float]
    """Cross-fitted score of each fold."""
    at_half: float
    """Score at a threshold of 0.5 with every mask kept."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the cross-fitted score over tiles."""
    tile_scores: np.ndarray
    """(n,) float64, cross-fitted, fold after fold."""
    tile_iou: np.ndarray
    """(n,) float64, with the same thresholds and areas; 1 where both masks are empty."""
    predicted_area: np.ndarray
    """(n,) int64 pixels, with the same thresholds and areas."""
    dice: float
    """Mean over tiles."""
    empty_accuracy: float
    """Share of the tiles that are rightly told to hold salt or none."""

    @property
    def spread(self) -> float:
        """Standard deviation of the folds' scores; 0 for one fold."""
        values = list(self.folds.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the receipt."""
        return {
            "score": self.score,
            "folds": {str(fold): score for fold, score in self.folds.items()},
            "spread": self.spread,
            "interval": list(self.interval),
            "score_at_half": self.at_half,
            "threshold": self.choice.threshold,
            "min_area": self.choice.min_area,
            "tiles": len(self.tile_scores),
            "iou": float(self.tile_iou.mean()),
            "dice": self.dice,
            "empty_accuracy": self.empty_accuracy,
        }


def validate(
    found: Sequence[np.ndarray], truth: Sequence[np.ndarray], folds: Sequence[int], settings: SubmitSettings
) -> Validation:
    """Choose threshold and smallest area, and score honestly.

    Args:
        found: out-of-fold probabilities of each fold, (v, 101, 101) uint8.
        truth: masks of the same tiles, (v, 101, 101) uint8 0/1.
        folds: the folds' numbers.
        settings: a threshold or area given there is not searched.

    With one fold its tiles are dealt to five parts, each scored with what the other four chose.
    """
    counts = metric.count(np.concatenate(found), np.concatenate(truth))
    member = np.repeat(np.asarray(folds), [len(each) for each in found])
    groups = member if len(folds) > 1 else np.arange(len(member)) % PARTS
    grid: dict[str, Any] = {}
    if settings.threshold != "auto":
        grid["thresholds"] = (settings.threshold,)
    if settings.min_area != "auto":
        grid["areas"] = (settings.min_area,)
    scores, chosen = metric.cross_fitted(counts, groups, **grid)
    predicted, both = np.empty(len(scores), np.int64), np.empty(len(scores), np.int64)
    for group, choice in chosen.items():
        member_of = groups == group
        predicted[member_of], both[member_of] = metric.areas_at(
            counts.take(member_of), choice.threshold, choice.min_area
        )
    areas = predicted + counts.truth
    empty = areas == 0
    return Validation(
        choice=metric.search(counts, **grid),
        score=float(scores.mean()),
        folds={fold: float(scores[member == fold].mean()) for fold in folds},
        at_half=float(metric.scores_at(counts, 0.5, 0).mean()),
        interval=metric.bootstrap(scores, 0),
        tile_scores=scores,
        tile_iou=np.where(empty, 1.0, both / np.maximum(areas - both, 1)),
        predicted_area=predicted,
        dice=float(np.where(empty, 1.0, 2 * both / np.maximum(areas, 1)).mean()),
        empty_accuracy=metric.empty_accuracy(predicted, counts.truth),
    )
