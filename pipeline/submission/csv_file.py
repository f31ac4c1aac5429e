"""The submission: from probabilities to a checked CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.config import UserError
from pipeline.data import rle
from pipeline.scoring import postprocess as rules
from pipeline.scoring.blend import average
from pipeline.scoring.postprocess import PostProcessing
from pipeline.system import disk

CHUNK = 1024
"""Tiles that are in memory at once."""


def predicted_masks(
    arrays: Sequence[np.ndarray],
    images: np.ndarray,
    how: PostProcessing,
    votes: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[np.ndarray]:
    """Masks of the test tiles, (up to 1024, 101, 101) bool at a time: networks averaged, cut, rules applied.

    Args:
        arrays: (n, 101, 101) uint8 probabilities of each network, may be memory-mapped.
        images: (n, 101, 101) uint8 grey values, may be memory-mapped.
        how: threshold, smallest area and rules.
        votes: weight of each array; by default all weigh the same.
        progress: called with the number of tiles done.
    """
    count = len(images)
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        yield rules.apply(average(arrays, start, stop, votes), images[start:stop], how)
        if progress is not None:
            progress(stop)


def read_choice(path: Path) -> tuple[PostProcessing, dict[str, int]]:
    """What validation has chosen: how masks are made, and the votes of each experiment.

    Args:
        path: of ``choice.json``.
    """
    chosen = json.loads(path.read_text(encoding="utf-8"))
    how = PostProcessing(chosen["threshold"], chosen["min_area"], tuple(chosen["rules"]), chosen["gate"])
    return how, chosen["votes"]


def write(path: Path, ids: Sequence[str], masks: Iterator[np.ndarray]) -> None:
    """Write the CSV that Kaggle takes: a header and one row per test tile, ``id,rle_mask``."""
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["id", "rle_mask"])
    start = 0
    for chunk in masks:
        table.writerows(zip(ids[start : start + len(chunk)], rle.encode(chunk), strict=True))
        start += len(chunk)
    disk.write(path, stream.getvalue().encode())


def check(path: Path, ids: Sequence[str], masks: Iterator[np.ndarray]) -> int:
    """Read a CSV back and hold it against what it should say.

    Args:
        path: the CSV.
        ids: of the sample submission, in its order.
        masks: chunks of the predicted masks, (n, 101, 101) bool.

    Returns:
        The number of tiles with salt.

    Raises:
        UserError: a wrong header, other ids or another order, a malformed run-length encoding, or one that does not
            decode to the predicted mask; the tile is named.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        table = csv.reader(stream)
        if next(table, None) != ["id", "rle_mask"]:
            raise UserError(f"{path}: the first line is not id,rle_mask")
        rows = list(table)
    names = [row[0] if row else "" for row in rows]
    if names != list(ids):
        wrong = next((i for i, (found, name) in enumerate(zip(names, ids, strict=False)) if found != name), None)
        place = f"row {wrong + 1} is {names[wrong]!r}, not {ids[wrong]}" if wrong is not None else "rows are missing"
        if len(rows) > len(ids):
            place = f"{len(rows)} rows for {len(ids)} tiles"
        raise UserError(f"{path}: its tiles are not those of the sample submission in their order ({place})")
    start = salted = 0
    for chunk in masks:
        part = rows[start : start + len(chunk)]
        texts = [row[1] if len(row) == 2 else "?" for row in part]
        tiles = [f"{path}: tile {name}" for name in names[start : start + len(chunk)]]
        height, width = chunk.shape[1:]
        same = (rle.decode(texts, height, width, names=tiles) == chunk).all(axis=(1, 2))
        if not same.all():
            raise UserError(f"{tiles[int(np.argmin(same))]} does not decode to its predicted mask")
        salted += sum(bool(text) for text in texts)
        start += len(chunk)
    if start != len(rows):
        raise UserError(f"{path}: {len(rows)} rows for {start} predicted masks")
    return salted
