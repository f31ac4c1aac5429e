"""The submission: from probabilities to a checked CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline import metric, rle
from pipeline.config import UserError

CHUNK = 1024
"""Tiles that are in memory at once."""


def average(folds: Sequence[np.ndarray], start: int, stop: int) -> np.ndarray:
    """Mean probability of several networks for tiles start..stop: (stop - start, 101, 101) uint8.

    Args:
        folds: one (n, 101, 101) uint8 array per network, may be memory-mapped.
        start: first tile.
        stop: tile after the last.
    """
    total = np.zeros((stop - start, *folds[0].shape[1:]), np.uint16)
    for fold in folds:
        total += fold[start:stop]
    # Adding half the divisor first rounds to the nearest whole number.
    return ((total + len(folds) // 2) // len(folds)).astype(np.uint8)


def predicted_masks(
    folds: Sequence[np.ndarray], choice: metric.Choice, progress: Callable[[int], None] | None = None
) -> Iterator[np.ndarray]:
    """Masks of the test tiles, (up to 1024, 101, 101) bool at a time: folds averaged, cut, small ones emptied."""
    count = len(folds[0])
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        yield metric.apply(average(folds, start, stop), choice.threshold, choice.min_area)
        if progress is not None:
            progress(stop)


def write(path: Path, ids: Sequence[str], masks: Iterator[np.ndarray]) -> None:
    """Write the CSV that Kaggle takes: a header and one row per test tile, ``id,rle_mask``."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["id", "rle_mask"])
        start = 0
        for chunk in masks:
            table.writerows(zip(ids[start : start + len(chunk)], rle.encode(chunk), strict=True))
            start += len(chunk)


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
