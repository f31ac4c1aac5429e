"""Paired comparison of experiments on the tiles that both have predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.reporting.leaderboard_entries import Entry, TileScore
from pipeline.scoring import bootstrap

COMPARED = 12
"""Experiments of a dataset that are compared with each other, from the top: each adds a row and a column."""


FEWEST_FOLDS = 3
"""Folds from which on their scatter is used; an interval from two would contain everything."""


class Difference(NamedTuple):
    """Mean difference of two experiments' scores, its 95 % interval, and the number of common tiles."""

    mean: float
    low: float
    high: float
    tiles: int

    @property
    def word(self) -> str:
        """``better``, ``worse`` or ``no significant difference``."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no significant difference"

    def __str__(self) -> str:
        if not self.tiles:
            return "no tile in common"
        return f"{self.word}: {self.mean:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def difference(one: Mapping[str, TileScore], other: Mapping[str, TileScore]) -> Difference:
    """Compare two experiments on the tiles that both have.

    The tiles are paired, which removes what makes a tile hard for both. The interval is a bootstrap over tiles. Where
    both have the same folds, three or more of them, it is at least as wide as that over folds, of which each is
    another training.

    Args:
        one: by the tile's id.
        other: by the tile's id.

    Returns:
        Of ``one`` less ``other``; not numbers where no tile is in both.
    """
    common = sorted(one.keys() & other.keys())
    if not common:
        return Difference(float("nan"), float("nan"), float("nan"), 0)
    found = bootstrap.differences([one[each].score for each in common], [other[each].score for each in common])
    mean, low, high = bootstrap.of_differences(found)
    folds = np.array([one[each].fold for each in common])
    if len(np.unique(folds)) >= FEWEST_FOLDS and all(one[each].fold == other[each].fold for each in common):
        over_folds = bootstrap.over_groups(found, folds)
        low, high = min(low, over_folds.low), max(high, over_folds.high)
    return Difference(mean, low, high, len(common))


def matrices(entries: Sequence[Entry]) -> dict[str, list[dict[str, Any]]]:
    """Differences within each dataset with two experiments or more: a row per experiment, a column for each other."""
    found: dict[str, list[dict[str, Any]]] = {}
    for dataset in dict.fromkeys(entry.row["dataset"] for entry in entries):
        those = [entry for entry in entries if entry.row["dataset"] == dataset][:COMPARED]
        if len(those) > 1:
            found[dataset] = [
                {"experiment": mine.row["experiment"]}
                | {
                    f"against {other.row['experiment']}": "" if other is mine else difference(mine.scores, other.scores)
                    for other in those
                }
                for mine in those
            ]
    return found
