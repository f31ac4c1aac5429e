"""The submission's CSV: make the masks of the test tiles, write them, and check the file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.config import UserError
from pipeline.data import rle
from pipeline.scoring import postprocess
from pipeline.scoring.blend import average
from pipeline.scoring.chunks import chunks
from pipeline.scoring.postprocess import PostProcessing
from pipeline.system import disk

TILES_AT_ONCE = 1024
"""Tiles whose masks are in memory at once."""


def predicted_masks(
    arrays: Sequence[np.ndarray],
    images: np.ndarray,
    how: PostProcessing,
    votes: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[np.ndarray]:
    """Make the masks of the test tiles: average the networks, then post-process.

    Args:
        arrays: (n, 101, 101) uint8 probabilities of each network, may be memory-mapped.
        images: (n, 101, 101) uint8 grey values, may be memory-mapped.
        how: threshold, smallest area and rules.
        votes: weight of each array; equal by default.
        progress: called with the number of tiles done.

    Yields:
        (up to ``TILES_AT_ONCE``, 101, 101) bool, in the order of the tiles.
    """
    for part in chunks(len(images), TILES_AT_ONCE):
        yield postprocess.apply(average(arrays, part.start, part.stop, votes), images[part], how)
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


def write(path: Path, ids: Sequence[str], masks: Iterator[np.ndarray]) -> None:
    """Write the CSV that Kaggle accepts: a header and one row per test tile, ``id,rle_mask``.

    Args:
        path: the CSV.
        ids: of all test tiles, in the order of the sample submission.
        masks: chunks of the predicted masks, (n, 101, 101) bool, in the same order.
    """
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["id", "rle_mask"])
    start = 0
    for chunk in masks:
        table.writerows(zip(ids[start : start + len(chunk)], rle.encode(chunk), strict=True))
        start += len(chunk)
    disk.write(path, stream.getvalue().encode())


def check(path: Path, ids: Sequence[str], masks: Iterator[np.ndarray]) -> int:
    """Read a CSV back and compare it with the predicted masks.

    Args:
        path: the CSV.
        ids: of the sample submission, in its order.
        masks: chunks of the predicted masks, (n, 101, 101) bool.

    Returns:
        The number of tiles with salt.

    Raises:
        UserError: the header, the ids or their order are wrong, or a run-length encoding is malformed or does not
            decode to the predicted mask; the message names the tile.
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
