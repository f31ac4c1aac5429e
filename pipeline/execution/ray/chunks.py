"""Predictions of the test tiles in chunks, which several tasks make and the driver joins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

from pipeline.artifacts import Freshness, commit, inputs_now, invalidate, verify
from pipeline.config import UserError
from pipeline.execution.task import FoldTask, PredictTask
from pipeline.prediction import CHUNK
from pipeline.system.atomic import mapped, writing


def chunk_starts(task: PredictTask, freshness: Freshness) -> range:
    """First tiles of the chunks of the test tiles."""
    return range(0, count_test_tiles(task, freshness), CHUNK)


def count_test_tiles(task: FoldTask, freshness: Freshness) -> int:
    tiles = freshness.manifest(task.tiles)
    return tiles.result["test"] if tiles else 0


def split_evenly(starts: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Split a sequence into ``count`` runs of about the same length; without the empty ones."""
    edges = [round(len(starts) * each / count) for each in range(count + 1)]
    return [tuple(starts[low:high]) for low, high in pairwise(edges) if high > low]


def join_chunks(task: PredictTask, starts: Sequence[int]) -> int:
    """Join a fold's chunks into the same file that one process would have written.

    The caller holds the artifact's lock.

    Args:
        task: the fold.
        starts: first tiles of all its chunks.

    Returns:
        The number of test tiles.

    Raises:
        UserError: a chunk is missing or damaged; it is invalidated, so that the same command makes it again.
    """
    import numpy as np

    artifact, started = task.predicted, time.monotonic()
    seen, count = inputs_now(artifact), _check_chunks(task, starts)
    shape = np.load(task.tiles.folder / "test_images.npy", mmap_mode="r", allow_pickle=False).shape
    invalidate(artifact, seen)
    with writing(artifact.folder / artifact.outputs[0]) as path:
        out = mapped(path, shape)
        for start in starts:
            part = task.part(start)
            out[start : start + CHUNK] = np.load(part.folder / part.outputs[0], allow_pickle=False)
        out.flush()
        del out
    task.remove_parts()  # before the manifest: a run that is killed after it would leave them for ever
    commit(artifact, {"tiles": count}, started, seen=seen)
    return count


def _check_chunks(task: PredictTask, starts: Sequence[int]) -> int:
    """The number of tiles in all chunks."""
    freshness, count = Freshness(), 0
    for start in starts:
        part = task.part(start)
        manifest = freshness.manifest(part)
        state = freshness.state(part)
        if manifest is None or (error := state.why if not state.done else verify(part, manifest)):
            part.manifest_path.unlink(missing_ok=True)
            raise UserError(f"{part.name}: {error if manifest else 'is missing'}; the same command makes it again")
        count += manifest.result["tiles"]
    return count
