"""Paired comparison of experiments on the tiles that both have predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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


def verdict(one: dict[str, float], other: dict[str, float]) -> str:
    """``better``, ``worse`` or ``no difference that shows``, with the difference and its interval."""
    found = difference(one, other)
    if not found.tiles:
        return "no tile in common"
    word = "better" if found.low > 0 else "worse" if found.high < 0 else "no difference that shows"
    return f"{word}: {found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def matrices(entries: Sequence[Entry]) -> dict[str, list[dict[str, str]]]:
    """Verdicts of each dataset with two experiments or more: a row per experiment, a column for each other one."""
    found = {}
    for dataset in dict.fromkeys(entry.row["dataset"] for entry in entries):
        those = [entry for entry in entries if entry.row["dataset"] == dataset][:COMPARED]
        if len(those) > 1:
            found[dataset] = [
                {"experiment": mine.row["experiment"]}
                | {
                    f"against {other.row['experiment']}": "" if other is mine else verdict(mine.scores, other.scores)
                    for other in those
                }
                for mine in those
            ]
    return found
