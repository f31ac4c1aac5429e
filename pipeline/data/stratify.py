"""Assign labelled tiles to K folds, stratified by depth, coverage or both.

Stratified by depth, every fold has shallow and deep tiles in the same proportions, as the test tiles do; coverage is
the share of a tile's pixels that are salt, from 0 to 1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.config import SplitSettings, UserError
from pipeline.data import tables


def assign_folds(table: pd.DataFrame, split: SplitSettings, groups: np.ndarray | None = None) -> np.ndarray:
    """Assign each labelled tile to a fold.

    Args:
        table: one row per labelled tile with the columns ``id`` (unique), ``depth`` (feet) and ``coverage`` (0 to 1).
        split: the number of folds, what to stratify by, the number of classes, and the seed. Depth is cut into
            quantile classes, coverage into classes of equal width with tiles without salt as one more; a class with
            fewer tiles than folds is merged with a neighbour.
        groups: (n,) int, tiles with the same number get the same fold; the folds then differ more in size and in
            classes. None lets each tile have its own.

    Returns:
        (n,) int64, the fold of each row. It depends on the tiles and the settings, not on the order of the rows.

    Raises:
        UserError: there are fewer tiles, or groups, than folds, or an id is listed twice.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if len(table) < split.folds:
        raise UserError(
            f"{len(table)} labelled tiles cannot be split into {split.folds} folds: lower split.folds, or add tiles"
        )
    tables.require_unique_ids(table, "the table of labelled tiles")
    order = table["id"].astype(str).to_numpy().argsort(kind="stable")
    tiles = table.iloc[order]
    classes = _merge_rare(_classes(tiles, split), split.folds)
    folds = np.empty(len(tiles), np.int64)
    if groups is None:
        parts = StratifiedKFold(split.folds, shuffle=True, random_state=split.seed)
        pieces = parts.split(np.zeros(len(tiles)), classes)
    else:
        if len(np.unique(groups)) < split.folds:
            raise UserError(
                f"{len(np.unique(groups))} sections cannot be split into {split.folds} folds: lower split.folds"
            )
        parts = StratifiedGroupKFold(split.folds, shuffle=True, random_state=split.seed)
        pieces = parts.split(np.zeros(len(tiles)), classes, np.asarray(groups)[order])
    for fold, (_, rows) in enumerate(pieces):
        folds[order[rows]] = fold
    return folds


def coverage_classes(coverage: np.ndarray, bins: int) -> np.ndarray:
    """Class of each coverage, (n,) float64 in 0..1: 0 without salt, otherwise 1 to ``bins``; (n,) int64."""
    return np.where(coverage > 0, np.clip(np.ceil(coverage * bins), 1, bins), 0).astype(np.int64)


def _classes(tiles: pd.DataFrame, split: SplitSettings) -> np.ndarray:
    """Class of each tile to stratify by, (n,) int64; neighbouring numbers are neighbouring classes."""
    if split.by == "random":
        return np.zeros(len(tiles), np.int64)
    coverage = tiles["coverage"].to_numpy(float)
    coverage_class = coverage_classes(coverage, split.bins)
    if split.by == "coverage":
        return coverage_class
    depth = tiles["depth"].to_numpy(float)
    # Tiles of the same depth share a class, so quantile classes may differ a little in size.
    depth_class = np.searchsorted(np.quantile(depth, np.arange(1, split.bins) / split.bins), depth, side="left")
    if split.by == "depth":
        return depth_class
    # Every other depth class counts its coverage classes downwards: neighbouring numbers differ by one class of one.
    return depth_class * (split.bins + 1) + np.where(depth_class % 2, split.bins - coverage_class, coverage_class)


def _merge_rare(classes: np.ndarray, least: int) -> np.ndarray:
    """Renumber classes from 0, after merging each that has fewer than ``least`` members with a neighbour.

    Repeatedly merges the smallest class (the first of several) into the smaller of its neighbours, until every class
    has enough members or only one is left.
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
