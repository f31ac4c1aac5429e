"""The submission: from probabilities to a checked CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import metric, rle
from pipeline.config import SubmitSettings, UserError

PARTS = 5
"""Parts that the tiles of a single fold are dealt to, to cross-fit within it."""
CHUNK = 1024
"""Tiles that are in memory at once."""


@dataclass(frozen=True)
class Validation:
    """What the out-of-fold predictions say.

    The cross-validated score is cross-fitted: threshold and smallest area for one fold's tiles are chosen on the other
    folds' tiles, so that no tile has a say in how it is scored.
    """

    choice: metric.Choice
    """Chosen on all tiles; what the test tiles get."""
    score: float
    """Cross-fitted."""
    folds: dict[int, float]
    """Cross-fitted score of each fold."""
    at_half: float
    """Score at a threshold of 0.5 with every mask kept."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the cross-fitted score over tiles."""
    tile_scores: np.ndarray
    """(n,) float64, cross-fitted, fold after fold."""

    @property
    def spread(self) -> float:
        """Standard deviation of the folds' scores; 0 for one fold."""
        values = list(self.folds.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the receipt."""
        return {
            "score": self.score,
            "folds": {str(fold): score for fold, score in self.folds.items()},
            "spread": self.spread,
            "interval": list(self.interval),
            "score_at_half": self.at_half,
            "threshold": self.choice.threshold,
            "min_area": self.choice.min_area,
            "tiles": len(self.tile_scores),
        }


def validate(
    found: Sequence[np.ndarray], truth: Sequence[np.ndarray], folds: Sequence[int], settings: SubmitSettings
) -> Validation:
    """Choose threshold and smallest area, and score honestly.

    Args:
        found: out-of-fold probabilities of each fold, (v, 101, 101) uint8.
        truth: masks of the same tiles, (v, 101, 101) uint8 0/1.
        folds: the folds' numbers.
        settings: a threshold or area given there is not searched.

    With one fold its tiles are dealt to five parts, each scored with what the other four chose.
    """
    counts = metric.count(np.concatenate(found), np.concatenate(truth))
    member = np.repeat(np.asarray(folds), [len(each) for each in found])
    groups = member if len(folds) > 1 else np.arange(len(member)) % PARTS
    grid: dict[str, Any] = {}
    if settings.threshold != "auto":
        grid["thresholds"] = (settings.threshold,)
    if settings.min_area != "auto":
        grid["areas"] = (settings.min_area,)
    scores, _ = metric.cross_fitted(counts, groups, **grid)
    return Validation(
        choice=metric.search(counts, **grid),
        score=float(scores.mean()),
        folds={fold: float(scores[member == fold].mean()) for fold in folds},
        at_half=float(metric.scores_at(counts, 0.5, 0).mean()),
        interval=metric.bootstrap(scores, 0),
        tile_scores=scores,
    )


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
