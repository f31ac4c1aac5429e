"""The submission's CSV: write it, and check it by reading it back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.config import UserError
from pipeline.data import rle, tables
from pipeline.system import disk


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
    tables.allow_long_fields()
    with path.open(newline="", encoding="utf-8") as stream:
        table = csv.reader(stream)
        if next(table, None) != ["id", "rle_mask"]:
            raise UserError(f"{path}: the first line is not id,rle_mask")
        rows = list(table)
    names = [row[0] if row else "" for row in rows]
    if names != list(ids):
        place = _first_difference(names, ids)
        raise UserError(f"{path}: its tiles are not those of the sample submission in their order ({place})")
    start = with_salt = 0
    for chunk in masks:
        part = rows[start : start + len(chunk)]
        texts = [row[1] if len(row) == 2 else "?" for row in part]
        tiles = [f"{path}: tile {name}" for name in names[start : start + len(chunk)]]
        height, width = chunk.shape[1:]
        same = (rle.decode(texts, height, width, names=tiles) == chunk).all(axis=(1, 2))
        if not same.all():
            raise UserError(f"{tiles[int(np.argmin(same))]} does not decode to its predicted mask")
        with_salt += sum(bool(text) for text in texts)
        start += len(chunk)
    if start != len(rows):
        raise UserError(f"{path}: {len(rows)} rows for {start} predicted masks")
    return with_salt


def _first_difference(names: Sequence[str], ids: Sequence[str]) -> str:
    """Where a CSV's names differ from the sample submission's ids."""
    if len(names) > len(ids):
        return f"{len(names)} rows for {len(ids)} tiles"
    for row, (found, name) in enumerate(zip(names, ids, strict=False), 1):
        if found != name:
            return f"row {row} is {found!r}, not {name}"
    return "rows are missing"
