"""Read and write ``folds.csv``, the fold of each labelled tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import UserError
from pipeline.data import tables
from pipeline.data.files import FOLDS
from pipeline.system import disk

COLUMNS = ("id", "fold", "depth", "coverage")


def write(path: Path, table: pd.DataFrame, folds: np.ndarray) -> None:
    """Write ``folds.csv``: one row per tile in the order of the table, columns ``COLUMNS``."""
    table = table.assign(fold=np.asarray(folds))
    disk.write(path, table.to_csv(columns=list(COLUMNS), index=False, lineterminator="\n").encode())


def read(path: Path) -> pd.DataFrame:
    """Read ``folds.csv``.

    Returns:
        One row per tile in the file's order: ``id`` text, ``fold`` int64, ``depth`` and ``coverage`` numbers.

    Raises:
        UserError: the file cannot be read as a CSV, lacks a column or an id, lists an id twice, or a number in it is
            wrong.
    """
    again = "run the split stage again"
    try:
        table = tables.read(path, dtype={"id": str}, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        if disk.failure(error):
            raise
        raise UserError(f"{path}: cannot be read ({_one_line(error)}); {again}") from None
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise UserError(f"{path}: the column {missing[0]!r} is missing; {again}")
    if (table["id"] == "").any():
        raise UserError(f"{path}: row {int((table['id'] == '').argmax()) + 1} has no id; {again}")
    tables.require_unique_ids(table, str(path))
    for name in ("fold", "depth", "coverage"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        bad = ~np.isfinite(numbers) if name != "fold" else ~((numbers >= 0) & (numbers < 2**31) & (numbers % 1 == 0))
        if bad.any():
            row = table.loc[bad.idxmax()]
            raise UserError(f"{path}: tile {row['id']} has the {name} {str(row[name])!r}; {again}")
        table[name] = numbers.astype(np.int64) if name == "fold" else numbers
    return table


def fold_of_tiles(folder: Path) -> np.ndarray:
    """Fold of each labelled tile, (n,) int64, in the order of the tiles; ``folder`` holds ``folds.csv``."""
    return read(folder / FOLDS)["fold"].to_numpy()


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())
