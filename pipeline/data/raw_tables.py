"""Read and check the competition's tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import UserError
from pipeline.data import tables
from pipeline.data.files import DEPTHS_CSV, SAMPLE_SUBMISSION_CSV, TRAIN_CSV
from pipeline.data.tile_errors import THEN, TileErrors, other_spellings, printable
from pipeline.system import disk


def read_raw_tables(raw: Path, errors: TileErrors, depth_errors: TileErrors) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the tables of labelled tiles and of test tiles.

    Args:
        raw: holds ``train.csv``, ``depths.csv`` and ``sample_submission.csv``.
        errors: gets the errors of single tiles.
        depth_errors: gets those of their depths.

    Returns:
        The labelled tiles, sorted by id: ``id``, ``rle_mask``, ``depth`` in feet; and the test tiles, in the order of
        the sample submission: ``id``, ``depth`` in feet. A depth that is missing or wrong is NaN.

    Raises:
        UserError: a table is missing or cannot be read.
    """
    train = read_table(raw / TRAIN_CSV, ["id", "rle_mask"], errors)
    test = read_table(raw / SAMPLE_SUBMISSION_CSV, ["id"], errors)
    depths = read_table(raw / DEPTHS_CSV, ["id", "z"], errors)
    for tile in train.loc[train["id"].isin(test["id"]), "id"]:
        errors.add(tile, f"is listed in both {TRAIN_CSV} and {SAMPLE_SUBMISSION_CSV}")
    # Depths of other tiles are no error: a subset of the tiles may come with all depths.
    texts = dict(zip(depths["id"], depths["z"], strict=True))
    for table in (train, test):
        missing = table.loc[~table["id"].isin(texts), "id"]
        others = dict(zip(missing, other_spellings(missing, texts), strict=True))
        table["depth"] = [_depth(tile, texts.get(tile), others.get(tile, ""), depth_errors) for tile in table["id"]]
    return train.sort_values("id", kind="stable", ignore_index=True), test


def read_table(path: Path, columns: list[str], errors: TileErrors) -> pd.DataFrame:
    """Read some columns of a table as text, one row for each id.

    Args:
        path: a CSV with a header.
        columns: to read, ``id`` among them.
        errors: gets each id that is listed more than once; the first row of it counts.

    Raises:
        UserError: the table is missing, empty or no CSV, or lacks a column.
    """
    try:
        with warnings.catch_warnings():
            # pandas would cut rows longer than the header with no more than a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = tables.read(
                path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig", index_col=False
            )
    except UnicodeDecodeError:
        raise _wrong(path, "is not a readable CSV (it is not in UTF-8): save it as CSV in UTF-8") from None
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split())
        raise _wrong(path, f"is not a readable CSV ({reason}){_separator_hint(path)}") from None
    except OSError as error:
        if disk.is_failure(error):
            raise
        raise UserError(f"{path}: {error.strerror or error}; run the stage download again") from None
    table = table.rename(columns=str.strip)
    if not table.columns.is_unique:
        raise _wrong(path, "is not a readable CSV (it has two columns of one name)")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        present = ", ".join(printable(column) for column in table.columns[:5])
        hint = _separator_hint(path) or _case_hint(missing, table.columns)
        raise _wrong(path, f"lacks the column {', '.join(missing)} (it has {present}){hint}")
    table = table[columns].apply(lambda column: column.str.strip())
    if table.empty:
        raise _wrong(path, "lists no tiles")
    repeated = table["id"].duplicated()
    for tile in table.loc[repeated, "id"].unique():
        errors.add(tile, f"is listed in {path.name} more than once")
    return table[~repeated].reset_index(drop=True)


def _wrong(path: Path, error: str) -> UserError:
    """The error of a table that was read from the disk: what is there is what its source has."""
    return UserError(f"{path}: {error} - correct {path.name} at its source; {THEN}")


def _separator_hint(path: Path) -> str:
    """What to do with a table that separates its columns by something else than commas; empty for any other."""
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        header = stream.readline(1000)
    if "," not in header:
        for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
            if separator in header:
                return f": its columns are separated by {name}, separate them by commas"
    return ""


def _case_hint(missing: list[str], present: Iterable[str]) -> str:
    """Which columns to rename, where they differ from the missing ones only in capital and small letters."""
    names = {column.casefold(): column for column in present}
    renamed = [f"{names[column]} to {column}" for column in missing if column in names]
    return f": rename {', '.join(renamed)}" if renamed else ""


def _depth(tile: str, text: str | None, other: str, errors: TileErrors) -> float:
    """Depth in feet; NaN after an error that makes it unknown. ``other``: how the table spells the id, if otherwise."""
    if text is None:
        hint = f" (it lists {printable(other)}: write one id in all tables)" if other else ""
        errors.add(tile, f"has no depth in {DEPTHS_CSV}{hint}")
        return np.nan
    try:
        depth = float(text)
    except ValueError:
        depth = np.nan
    if not np.isfinite(depth):
        errors.add(tile, f"has the depth {printable(text)} in {DEPTHS_CSV}, which is not a number")
    elif depth < 0:
        errors.add(tile, f"has the depth {printable(text)} in {DEPTHS_CSV}, which is negative")
    return depth
