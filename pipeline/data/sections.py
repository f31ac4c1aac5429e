"""Sections: tiles that were cut from one larger picture, put together from pairs of neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.data.mosaic import Pairs

STEPS = {"vertical": (1, 0), "horizontal": (0, 1)}
"""Rows and columns from the first tile of a pair to the second."""


@dataclass(frozen=True)
class Sections:
    """The section of each tile, and its place there."""

    section: np.ndarray
    """(n,) int64, number of the section, counted from 0; the largest section first, single tiles last."""
    row: np.ndarray
    """(n,) int64, place from the top, counted from 0 in each section."""
    column: np.ndarray
    """(n,) int64, place from the left, counted from 0 in each section."""
    used: dict[str, np.ndarray]
    """For each axis, (m,) bool: pairs that agree with the places; the others contradict more certain ones."""


def assemble(pairs: dict[str, Pairs], count: int, originals: np.ndarray | None = None) -> Sections:
    """Put tiles together, the most certain pairs first.

    A pair is left out where more certain ones have put its tiles elsewhere in the same section, or where two tiles
    would get the same place.

    Args:
        pairs: for each axis, ``vertical`` and ``horizontal``; indices below ``count``.
        count: number of tiles, n.
        originals: (n,) int64, index of the tile of which each one is a copy, its own for all others. No copy is in
            a pair; copies get the place of their original.
    """
    section, place = np.arange(count) if originals is None else originals.copy(), np.zeros((count, 2), np.int64)
    members: dict[int, list[int]] = {}
    for index, original in enumerate(section.tolist()):
        members.setdefault(original, []).append(index)
    used = {axis: np.zeros(len(found.ratio), bool) for axis, found in pairs.items()}
    order = sorted(
        (float(ratio), axis, index) for axis, found in pairs.items() for index, ratio in enumerate(found.ratio)
    )
    for _, axis, index in order:
        first, second = int(pairs[axis].first[index]), int(pairs[axis].second[index])
        shift = place[first] + STEPS[axis] - place[second]  # moves the second tile's section to the first one's
        kept, moved = section[first], section[second]
        if kept == moved:
            used[axis][index] = not shift.any()
            continue
        if len(members[moved]) > len(members[kept]):  # the smaller section moves, which bounds the work
            kept, moved, shift = moved, kept, -shift
        arriving = place[members[moved]] + shift
        if {*map(tuple, arriving.tolist())} & {*map(tuple, place[members[kept]].tolist())}:
            continue
        used[axis][index] = True
        place[members[moved]] = arriving
        section[members[moved]] = kept
        members[kept] += members.pop(moved)
    numbered = np.empty(count, np.int64)
    for number, tiles in enumerate(sorted(members.values(), key=lambda tiles: (-len(tiles), min(tiles)))):
        numbered[tiles] = number
        place[tiles] -= place[tiles].min(axis=0)
    return Sections(numbered, place[:, 0], place[:, 1], used)
