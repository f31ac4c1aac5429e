"""Masks of the test tiles: read what validation chose, average the networks, post-process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.scoring import postprocess
from pipeline.scoring.blend import average
from pipeline.scoring.chunks import chunks
from pipeline.scoring.neighbors import Neighbors
from pipeline.scoring.postprocess import PostProcessing

TILES_AT_ONCE = 1024
"""Tiles whose masks are in memory at once."""


def predicted_masks(
    arrays: Sequence[np.ndarray],
    images: np.ndarray,
    how: PostProcessing,
    votes: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
    neighbors: Neighbors | None = None,
) -> Iterator[np.ndarray]:
    """Make the masks of the test tiles: average the networks, then post-process.

    Args:
        arrays: (n, 101, 101) uint8 probabilities of each network, may be memory-mapped.
        images: (n, 101, 101) uint8 grey values, may be memory-mapped.
        how: threshold, smallest area and rules.
        votes: weight of each array; equal by default.
        progress: called with the number of tiles done.
        neighbors: of the same tiles; None where none are known.

    Yields:
        (up to ``TILES_AT_ONCE``, 101, 101) bool, in the order of the tiles.
    """
    for part in chunks(len(images), TILES_AT_ONCE):
        probabilities = average(arrays, part.start, part.stop, votes)
        yield postprocess.apply(probabilities, images[part], how, neighbors.take(part) if neighbors else None)
        if progress is not None:
            progress(part.stop)


def read_choice(path: Path) -> tuple[PostProcessing, dict[str, int]]:
    """Read what validation chose.

    Args:
        path: of ``choice.json``.

    Returns:
        Threshold, smallest area and rules, and the votes of each experiment.
    """
    chosen = json.loads(path.read_text(encoding="utf-8"))
    how = PostProcessing(chosen["threshold"], chosen["min_area"], tuple(chosen["rules"]), chosen["gate"])
    return how, chosen["votes"]
