"""Measures of a tile's prediction that are smoother than the competition's score, from out-of-fold probabilities.

Every measure is larger for a better prediction. ``measures.npz`` in a run's folder keeps them, so that a run can be
compared where its probabilities are not.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from benchmarks.runs import DATASET, Run
from pipeline import config
from pipeline.artifacts import Layout
from pipeline.data import tiles
from pipeline.data.folds import fold_of_tiles
from pipeline.reporting.leaderboard_entries import SCORES
from pipeline.scoring import metric
from pipeline.scoring.chunks import chunks

FILE = "measures.npz"
SCORE = "score"
"""The competition's score, cross-fitted, from ``scores.csv``."""
WIDTH = 0.05
"""Width of a sigmoid in place of a threshold of the IoU: the distance of two thresholds."""
SOFT_AREA = 50.0
"""Predicted area in pixels at which the smooth score of a tile without salt is one half."""
SMALLEST = 0.25 / 255
"""Probabilities are taken from here to 1 less this; a quarter of a level of uint8."""


@dataclass(frozen=True)
class Measured:
    """The measures of one run."""

    ids: np.ndarray
    """(n,) text, sorted."""
    folds: np.ndarray
    """(n,) int64."""
    values: dict[str, np.ndarray]
    """Name -> (n,) float64; NaN for a tile that the measure leaves out. The score is first."""


def tile_measures(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of each tile.

    Args:
        probabilities: (n, height, width) uint8, v stands for v / 255.
        truth: (n, height, width) 0/1.

    Returns:
        Name -> (n,) float64, NaN for the tiles that a measure leaves out.
    """
    parts = [_parts(probabilities[part], truth[part]) for part in chunks(len(truth))]
    cross_entropy, dice, expected_area, highest, *areas = (np.concatenate(each) for each in zip(*parts, strict=True))
    area, truth_area, intersection = areas
    iou = intersection / np.maximum(area + truth_area - intersection, 1)
    steps = expit((iou[:, None] - metric.THRESHOLDS) / WIDTH).mean(axis=1)
    empty = truth_area == 0
    return {
        "score at 0.5": metric.scores_from_areas(area, truth_area, intersection),
        "smooth score": np.where(empty, area == 0, steps),
        "smooth score, empty tiles too": np.where(empty, SOFT_AREA / (SOFT_AREA + expected_area), steps),
        "negative cross-entropy, salt": np.where(empty, np.nan, -cross_entropy),
        "soft Dice, salt": np.where(empty, np.nan, dice),
        "negative log-loss of emptiness, by the maximum": -presence_loss(highest, ~empty),
        "negative log-loss of emptiness, by the mean": -presence_loss(expected_area / truth[0].size, ~empty),
    }


def presence_loss(evidence: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Log-loss of the class of each tile, with or without salt, (n,) float64.

    The probability of salt is a logistic function of the evidence's logit, with the two coefficients that fit these
    tiles best: neither a maximum nor a mean over pixels is itself a probability that the tile has salt.

    Args:
        evidence: (n,) from 0 to 1, larger where salt is more likely.
        present: (n,) bool.
    """
    if present.all() or not present.any():
        return np.zeros(len(present))
    clipped = np.clip(evidence, 1e-6, 1 - 1e-6)
    feature = np.log(clipped / (1 - clipped))[:, None]
    chance = LogisticRegression(C=1e6).fit(feature, present).predict_proba(feature)
    return -np.log(np.clip(chance[np.arange(len(present)), present.astype(int)], 1e-6, 1))


def _parts(probabilities: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cross-entropy, soft Dice, area by the sum of probabilities, highest probability, and the three areas at 0.5."""
    axes = (1, 2)
    chance = np.clip(probabilities / np.float32(255), SMALLEST, 1 - SMALLEST)
    salt = truth > 0
    cross_entropy = -np.log(np.where(salt, chance, 1 - chance)).mean(axis=axes, dtype=np.float64)
    total = chance.sum(axis=axes, dtype=np.float64)
    dice = 2 * (chance * salt).sum(axis=axes, dtype=np.float64) / (total + salt.sum(axis=axes))
    areas = metric.mask_areas(probabilities > 127, salt)
    return cross_entropy, dice, total, probabilities.max(axis=axes) / 255, *areas


# ---- Of a run -------------------------------------------------------------------------------------------------------


def of_run(run: Run, folder: Path) -> Measured | None:
    """The measures of a finished run, from its file if that is as new as the score; None where it is not finished.

    Where neither the file nor the probabilities are there, the score is the only measure.
    """
    root = run.root(folder)
    layout = Layout(root, DATASET, run.experiment, config.load(run.experiment, list(run.assignments)))
    scores, kept = layout.experiment_folder / SCORES, root / FILE
    if not scores.is_file():
        return None
    if not kept.is_file() or kept.stat().st_mtime_ns < scores.stat().st_mtime_ns:
        found = _computed(layout, scores)
        if len(found.values) == 1:
            return found
        arrays = {"ids": found.ids, "folds": found.folds} | {f"by {name}": each for name, each in found.values.items()}
        np.savez_compressed(kept, allow_pickle=False, **arrays)
        return found
    with np.load(kept, allow_pickle=False) as stored:
        values = {name.removeprefix("by "): stored[name] for name in stored.files if name.startswith("by ")}
        return Measured(stored["ids"], stored["folds"], values)


def _computed(layout: Layout, scores: Path) -> Measured:
    with scores.open(newline="", encoding="utf-8") as stream:
        rows = sorted(csv.DictReader(stream), key=lambda row: row["id"])
    ids, folds = np.array([row["id"] for row in rows]), np.array([int(row["fold"]) for row in rows])
    values = {SCORE: np.array([float(row["score"]) for row in rows])}
    paths = {fold: layout.fold_folder(fold) / "oof.npy" for fold in sorted({*folds.tolist()})}
    if all(path.is_file() for path in paths.values()):
        store, fold_of_tile = tiles.load(layout.tiles_folder), fold_of_tiles(layout.split_folder)
        at = np.concatenate([np.flatnonzero(fold_of_tile == fold) for fold in paths])
        probabilities = np.concatenate([np.load(path, allow_pickle=False) for path in paths.values()])
        order = np.argsort(store.train["id"].to_numpy(dtype=str)[at])
        if not np.array_equal(store.train["id"].to_numpy(dtype=str)[at][order], ids):
            raise ValueError(f"{scores}: has other tiles than the out-of-fold probabilities")
        measured = tile_measures(probabilities, store.train_masks[at])
        values |= {name: each[order] for name, each in measured.items()}
    return Measured(ids, folds, values)
