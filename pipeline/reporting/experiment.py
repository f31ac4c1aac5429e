"""What the page of an experiment, or of a blend, shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.config import Settings
from pipeline.reporting.galleries import Tiles


@dataclass(frozen=True)
class Experiment:
    """An experiment with its result, its tiles and its training."""

    name: str
    dataset: str
    settings: Settings
    result: dict[str, Any]
    """Of the validation's manifest."""
    tiles: Tiles
    """All out-of-fold tiles."""
    training: dict[int, dict[str, Any]]
    """Of each trained fold, the result in its manifest; empty for a blend."""
    histories: dict[int, list[dict[str, str]]]
    """Of each fold, the rows of ``history.csv``; empty for a blend."""
    members: dict[str, float | None]
    """Of a blend, the score of each member alone, None where unknown; empty for a single experiment."""
    provenance: dict[str, str]
    """When, where and from what the predictions and the page were made."""
    command: str
    """Makes the experiment again."""
    show: str
    """Draws a tile; empty for a blend, of which no tile can be drawn."""

    @property
    def nothing(self) -> float:
        """Score of predicting no salt in any tile: the share of empty tiles."""
        return float((self.tiles.scores["coverage"] == 0).mean())
