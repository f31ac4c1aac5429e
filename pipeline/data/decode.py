"""Decode the competition's files into arrays and tables once, and check every tile: the work of the stage ``prepare``.

The images are 101x101 pixels of seismic amplitude, grey but saved as RGB; the masks are 16-bit PNG of 0 and 65535; the
depths are in feet (https://www.kaggle.com/competitions/tgs-salt-identification-challenge/data). An error found here
names its tile; found later, it would only be a strange score.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import TILE, UserError
from pipeline.data import rle
from pipeline.data.decode_files import decode_files, list_files
from pipeline.data.files import (
    RAW_TEST_IMAGES,
    RAW_TRAIN_IMAGES,
    RAW_TRAIN_MASKS,
    TEST_IMAGES,
    TEST_TABLE,
    TRAIN_CSV,
    TRAIN_IMAGES,
    TRAIN_MASKS,
    TRAIN_TABLE,
)
from pipeline.data.masks import is_vertical
from pipeline.data.raw_tables import read_raw_tables
from pipeline.data.tile_errors import TileErrors
from pipeline.data.tiles import TEST_COLUMNS, TRAIN_COLUMNS
from pipeline.scoring.chunks import chunks
from pipeline.scoring.images import is_constant
from pipeline.system import disk
from pipeline.system.atomic import mapped


def decode_tiles(raw: Path, out: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Decode the competition's files into memory-mapped arrays and tables.

    Args:
        raw: ``train.csv``, ``depths.csv``, ``sample_submission.csv``, ``train/images``, ``train/masks`` and
            ``test/images``.
        out: an existing folder; it gets the files that ``pipeline.data.tiles.load`` reads.
        progress: called with (files decoded, files in all).

    Returns:
        ``train`` and ``test`` (numbers of tiles), and of the training tiles ``empty`` (share without salt),
        ``coverage`` (its mean), ``constant`` and ``vertical`` (numbers of tiles).

    Raises:
        UserError: a table or a tile is wrong. The line names the first tiles and counts the rest.
    """
    errors, depth_errors = TileErrors(), TileErrors()
    train, test = read_raw_tables(raw, errors, depth_errors)
    _check_free_space(out, train, test)
    arrays = {
        name: mapped(out / name, (len(table), TILE, TILE))
        for name, table in ((TRAIN_IMAGES, train), (TRAIN_MASKS, train), (TEST_IMAGES, test))
    }
    files = [
        *list_files(raw, RAW_TRAIN_IMAGES, train["id"], arrays[TRAIN_IMAGES], errors),
        *list_files(raw, RAW_TRAIN_MASKS, train["id"], arrays[TRAIN_MASKS], errors),
        *list_files(raw, RAW_TEST_IMAGES, test["id"], arrays[TEST_IMAGES], errors),
    ]
    # After the ids that no file has: an id that is spelled otherwise has no depth either, and only the first are named.
    errors.found += depth_errors.found
    decode_files(raw, files, errors, progress)
    _check_encodings(train, arrays[TRAIN_MASKS], errors)
    errors.raise_if_any(raw)

    train["coverage"] = arrays[TRAIN_MASKS].mean(axis=(1, 2))
    train["constant"], test["constant"] = is_constant(arrays[TRAIN_IMAGES]), is_constant(arrays[TEST_IMAGES])
    train["vertical"] = is_vertical(arrays[TRAIN_MASKS])
    for name, array in arrays.items():
        with disk.naming(out / name):
            array.flush()
        disk.sync(out / name)
    for name, table, columns in ((TRAIN_TABLE, train, TRAIN_COLUMNS), (TEST_TABLE, test, TEST_COLUMNS)):
        disk.write(out / name, table[list(columns)].to_csv(index=False, lineterminator="\n").encode())
    return {
        "train": len(train),
        "test": len(test),
        "empty": float((train["coverage"] == 0).mean()),
        "coverage": float(train["coverage"].mean()),
        "constant": int(train["constant"].sum()),
        "vertical": int(train["vertical"].sum()),
    }


def _check_free_space(out: Path, train: pd.DataFrame, test: pd.DataFrame) -> None:
    # A full disk under a memory-mapped array kills the process with no message.
    needed = (2 * len(train) + len(test)) * TILE * TILE
    free = shutil.disk_usage(out).free
    if free < needed:
        raise UserError(f"{out}: needs {needed / 2**20:,.0f} MiB and the disk has {free / 2**20:,.0f}; free some space")


def _check_encodings(train: pd.DataFrame, masks: np.ndarray, errors: TileErrors) -> None:
    """Compare the masks with the run-length encodings in train.csv, except of tiles that have an error already."""
    wrong = {tile for tile, _ in errors.found}
    rows = []
    for row, (tile, text) in enumerate(zip(train["id"], train["rle_mask"], strict=True)):
        if tile in wrong:
            continue
        error = rle.check(text, TILE, TILE)
        if error:
            errors.add(tile, f"its rle_mask in {TRAIN_CSV} is wrong: {error}")
        else:
            rows.append(row)
    for part in chunks(len(rows)):
        some = np.array(rows[part], int)
        different = (rle.decode(train["rle_mask"].iloc[some].tolist()) != masks[some]).sum(axis=(1, 2))
        for place in np.flatnonzero(different):
            tile = train["id"].iloc[some[place]]
            errors.add(tile, f"its rle_mask in {TRAIN_CSV} differs from its mask in {different[place]:,} pixels")
