"""Work on many tiles a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK = 64
"""Tiles per chunk: few enough that their pixels stay in the processor's cache."""


def chunks(count: int, size: int | None = None) -> Iterator[slice]:
    """Consecutive slices that cover ``range(count)``.

    Args:
        count: number of tiles.
        size: tiles per slice; the last slice may have fewer. ``CHUNK`` by default.
    """
    size = CHUNK if size is None else size
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
