"""Paired comparison of experiments on the tiles that both have predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline.reporting.leaderboard_entries import Entry
from pipeline.scoring import bootstrap

COMPARED = 12
"""Experiments of a dataset that are compared with each other, from the top: each adds a row and a column."""


class Difference(NamedTuple):
    """Mean difference of two experiments' scores, its 95 % bootstrap interval, and the number of common tiles."""

    mean: float
    low: float
    high: float
    tiles: int

    @property
    def word(self) -> str:
        """``better``, ``worse`` or ``no difference that shows``."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no difference that shows"

    def __str__(self) -> str:
        if not self.tiles:
            return "no tile in common"
        return f"{self.word}: {self.mean:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def difference(one: dict[str, float], other: dict[str, float]) -> Difference:
    """Compare two experiments on the tiles that both have.

    The tiles are paired, which removes what makes a tile hard for both.

    Args:
        one: tile id -> score.
        other: tile id -> score.

    Returns:
        Of ``one`` less ``other``; not numbers where no tile is in both.
    """
    common = sorted(one.keys() & other.keys())
    if not common:
        return Difference(float("nan"), float("nan"), float("nan"), 0)
    paired = bootstrap.paired([one[each] for each in common], [other[each] for each in common])
    return Difference(*paired, len(common))


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
