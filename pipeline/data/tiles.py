"""Decoded tiles: the arrays and tables that the stage ``prepare`` has made (see ``pipeline.data.decode``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import TILE, UserError
from pipeline.data import tables
from pipeline.data.files import TEST_IMAGES, TEST_TABLE, TRAIN_IMAGES, TRAIN_MASKS, TRAIN_TABLE
from pipeline.system import disk

TRAIN_COLUMNS = {"id": str, "depth": float, "coverage": float, "constant": bool, "vertical": bool}
TEST_COLUMNS = {"id": str, "depth": float, "constant": bool}


@dataclass(frozen=True)
class Tiles:
    """Decoded tiles; the arrays are memory-mapped, read-only."""

    train_images: np.ndarray
    """(n, 101, 101) uint8 grey values."""
    train_masks: np.ndarray
    """(n, 101, 101) uint8, 1 where salt is."""
    test_images: np.ndarray
    """(m, 101, 101) uint8 grey values."""
    train: pd.DataFrame
    """n rows, sorted by id: ``id``, ``depth`` in feet, ``coverage`` (share of salt pixels), ``constant`` (the image
    has one grey value), ``vertical`` (the mask consists of vertical bands)."""
    test: pd.DataFrame
    """m rows in the order of the sample submission: ``id``, ``depth`` in feet, ``constant``."""


def load(folder: Path) -> Tiles:
    """Open decoded tiles without reading the arrays into memory.

    Args:
        folder: filled by ``pipeline.data.decode.decode_tiles``.

    Raises:
        UserError: a file is missing, damaged, or does not fit the others.
    """
    train = _read_table(folder / TRAIN_TABLE, TRAIN_COLUMNS)
    test = _read_table(folder / TEST_TABLE, TEST_COLUMNS)
    return Tiles(
        train_images=_map_array(folder / TRAIN_IMAGES, len(train)),
        train_masks=_map_array(folder / TRAIN_MASKS, len(train)),
        test_images=_map_array(folder / TEST_IMAGES, len(test)),
        train=train,
        test=test,
    )


def _map_array(path: Path, count: int) -> np.ndarray:
    """(count, 101, 101) uint8, memory-mapped."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from None
    if array.dtype != np.uint8 or array.shape != (count, TILE, TILE):
        raise UserError(
            f"{path}: is {array.dtype} of shape {array.shape}, "
            f"not uint8 of shape {(count, TILE, TILE)}; run the stage prepare again"
        )
    return array


def _read_table(path: Path, columns: dict[str, type]) -> pd.DataFrame:
    try:
        # "nan" and "NA" are ordinary ids.
        table = tables.read(path, dtype=columns, keep_default_na=False, na_values=[], float_precision="round_trip")
        return table[list(columns)]
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    """The error to raise for a file that cannot be read; raises ``error`` itself where the disk fails."""
    if disk.failure(error):
        raise error
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged"
    return UserError(f"{path}: cannot be opened ({reason}); run the stage prepare again")
