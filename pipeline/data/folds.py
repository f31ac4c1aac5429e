"""K folds of the labelled tiles, stratified by depth, coverage or both.

Stratified by depth, every fold holds shallow and deep tiles alike, as the test tiles do; coverage is the share of a
tile's pixels that are salt, from 0 to 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import SplitSettings, UserError
from pipeline.data import tables
from pipeline.system import disk

COLUMNS = ("id", "fold", "depth", "coverage")
"""Columns of ``folds.csv``."""


def assign(table: pd.DataFrame, split: SplitSettings) -> np.ndarray:
    """Deal tiles to folds.

    Args:
        table: one row per labelled tile with the columns ``id`` (unique), ``depth`` (feet) and ``coverage`` (0 to 1).
        split: the number of folds, what to stratify by, the number of classes, and the seed. Depth is cut into
            quantile classes, coverage into classes of equal width with tiles without salt as one more; a class with
            fewer tiles than folds is merged with a neighbour.

    Returns:
        (n,) int64, the fold of each row. It depends on the tiles and the settings, not on the order of the rows.

    Raises:
        UserError: there are fewer tiles than folds, or an id comes twice.
    """
    from sklearn.model_selection import StratifiedKFold

    if len(table) < split.folds:
        raise UserError(
            f"{len(table)} labelled tiles cannot be dealt to {split.folds} folds: lower split.folds, or take more tiles"
        )
    _require_unique(table, "the table of labelled tiles")
    order = table["id"].astype(str).to_numpy().argsort(kind="stable")
    tiles = table.iloc[order]
    classes = _merge_rare(_classes(tiles, split), split.folds)
    dealt = np.empty(len(tiles), np.int64)
    parts = StratifiedKFold(split.folds, shuffle=True, random_state=split.seed)
    for fold, (_, rows) in enumerate(parts.split(np.zeros(len(tiles)), classes)):
        dealt[order[rows]] = fold
    return dealt


def balance(table: pd.DataFrame, folds: np.ndarray) -> pd.DataFrame:
    """How alike the folds are.

    Args:
        table: one row per tile with the columns ``depth`` (feet) and ``coverage`` (0 to 1).
        folds: (n,) int, the fold of each row.

    Returns:
        One row per fold, in order, with the columns ``fold``, ``tiles``, ``empty`` (share of tiles without salt),
        ``coverage`` (mean) and ``depth_mean``, ``depth_min``, ``depth_25``, ``depth_50``, ``depth_75``, ``depth_max``.
    """
    rows = []
    for fold in np.unique(folds):
        part = table[np.asarray(folds) == fold]
        depth = part["depth"].to_numpy(float)
        row = {"fold": int(fold), "tiles": len(part), "empty": float((part["coverage"] == 0).mean())}
        row |= {"coverage": float(part["coverage"].mean()), "depth_mean": float(depth.mean())}
        names = ("depth_min", "depth_25", "depth_50", "depth_75", "depth_max")
        rows.append(row | dict(zip(names, map(float, np.quantile(depth, [0, 0.25, 0.5, 0.75, 1])), strict=True)))
    return pd.DataFrame(rows)


def balance_text(table: pd.DataFrame, folds: np.ndarray) -> str:
    """``balance`` as aligned plain text, a line per fold below two lines of headings."""
    lines = [
        "                         mean       depth in feet",
        "  fold   tiles   empty   coverage    mean     min     25%     50%     75%     max",
    ]
    for row in balance(table, folds).to_dict("records"):
        depths = "".join(f"{row[f'depth_{name}']:8.0f}" for name in ("mean", "min", "25", "50", "75", "max"))
        share = f"{100 * row['empty']:.1f} %"
        lines.append(f"  {row['fold']:4d}  {row['tiles']:6,d}  {share:>6}  {row['coverage']:9.3f}{depths}")
    return "\n".join(lines)


def write(path: Path, table: pd.DataFrame, folds: np.ndarray) -> None:
    """Write ``folds.csv``: columns ``id,fold,depth,coverage``, a row per tile in the order of the table."""
    table = table.assign(fold=np.asarray(folds))
    disk.write(path, table.to_csv(columns=list(COLUMNS), index=False, lineterminator="\n").encode())


def read(path: Path) -> pd.DataFrame:
    """Read ``folds.csv``.

    Returns:
        A row per tile in the file's order: ``id`` text, ``fold`` int64, ``depth`` and ``coverage`` numbers.

    Raises:
        UserError: the file is missing or no such table, a column is missing, an id is missing or comes twice, or a
            fold is not a whole number from 0.
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
    _require_unique(table, str(path))
    for name in ("fold", "depth", "coverage"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        bad = ~np.isfinite(numbers) if name != "fold" else ~((numbers >= 0) & (numbers < 2**31) & (numbers % 1 == 0))
        if bad.any():
            row = table.loc[bad.idxmax()]
            raise UserError(f"{path}: tile {row['id']} has the {name} {str(row[name])!r}; {again}")
        table[name] = numbers.astype(np.int64) if name == "fold" else numbers
    return table


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())


def _require_unique(table: pd.DataFrame, where: str) -> None:
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise UserError(f"{where}: tile {twice.iloc[0]} comes more than once; keep one row for each tile")


def _classes(tiles: pd.DataFrame, split: SplitSettings) -> np.ndarray:
    """Class of each tile to stratify by, (n,) int64; neighbouring numbers are neighbouring classes."""
    if split.by == "random":
        return np.zeros(len(tiles), np.int64)
    coverage = tiles["coverage"].to_numpy(float)
    covered = np.where(coverage > 0, np.clip(np.ceil(coverage * split.bins), 1, split.bins), 0).astype(np.int64)
    if split.by == "coverage":
        return covered
    depth = tiles["depth"].to_numpy(float)
    # Tiles of the same depth share a class, so that quantile classes may differ a little in size.
    deep = np.searchsorted(np.quantile(depth, np.arange(1, split.bins) / split.bins), depth, side="left")
    if split.by == "depth":
        return deep
    # Every other depth class counts its coverage downwards, so that neighbouring numbers differ by one step of one.
    return deep * (split.bins + 1) + np.where(deep % 2, split.bins - covered, covered)


def _merge_rare(classes: np.ndarray, least: int) -> np.ndarray:
    """Renumber classes from 0, after merging each that has fewer than ``least`` members with a neighbour.

    The smallest class goes first, the first of several, into the smaller of its neighbours; this goes on until every
    class has enough members or one is left.
    """
    numbers, first = np.unique(classes, return_inverse=True)
    groups = [[number] for number in range(len(numbers))]
    sizes = np.bincount(first).tolist()
    while len(groups) > 1 and min(sizes) < least:
        rare = sizes.index(min(sizes))
        beside = [place for place in (rare - 1, rare + 1) if 0 <= place < len(groups)]
        other = min(beside, key=lambda place: sizes[place])
        left, right = sorted((rare, other))
        groups[left] += groups.pop(right)
        sizes[left] += sizes.pop(right)
    merged = np.empty(len(numbers), np.int64)
    for number, group in enumerate(groups):
        merged[group] = number
    return merged[first]


def fold_of_tiles(folder: Path) -> np.ndarray:
    """Fold of each labelled tile, (n,) int64, in the order of the tiles; ``folder`` holds ``folds.csv``."""
    return read(folder / "folds.csv")["fold"].to_numpy()
