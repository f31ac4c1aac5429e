"""How steadily a measure ranks trainings: signal to noise, and agreement between disjoint halves of the tiles.

Halves consist of whole folds where there are two or more: their networks are different ones, so that agreement between
halves is limited by the variance of trainings as well as by that of tiles. Halves of the tiles of each fold share their
networks, so that only the variance of tiles limits it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

DRAWS = 200


class Steadiness(NamedTuple):
    """Of one measure; a correlation is Spearman's, averaged over divisions of the tiles into two halves."""

    name: str
    tiles: int
    training_noise: float
    """Standard error of an effect over repetitions of the training, in units of the spread of the effects."""
    tile_noise: float
    """The same over tiles."""
    within_folds: float
    """Correlation of the runs' order between halves of the tiles of each fold."""
    between_folds: float
    """Correlation of the runs' order between halves of the folds; NaN where there is one fold."""
    effects: float
    """Correlation of the effects' order between the halves."""
    predicts: float
    """Correlation of the runs' order by this measure with that by the score on the other half."""
    gain: float
    """``predicts`` less that of the score itself."""
    gain_error: float
    """Standard error of ``gain`` over runs (jackknife)."""

    @property
    def steadier(self) -> bool:
        """Whether it predicts the order by the score on other tiles better than the score does, by two errors."""
        return self.gain > 2 * self.gain_error


def halves_of_tiles(folds: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Random halves of the tiles of each fold: (draws, n) bool, True for the first half."""
    draw = np.random.default_rng(seed)
    halves = np.zeros((draws, len(folds)), bool)
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        for half in halves:
            half[draw.permutation(rows)[: len(rows) // 2]] = True
    return halves


def halves_of_folds(folds: np.ndarray) -> np.ndarray:
    """All divisions of the folds into two groups that differ by one fold at most: (divisions, n) bool."""
    names = np.unique(folds)
    groups = [set(group) for group in combinations(names.tolist(), len(names) // 2)]
    if len(names) % 2 == 0:
        groups = [group for group in groups if names[0] in group]  # the others are the same, the other way round
    return np.array([np.isin(folds, [*group]) for group in groups if group], bool).reshape(-1, len(folds))


def means(values: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Mean of each run over each first half: (runs, halves) from (runs, n) values with NaN for tiles left out."""
    used = ~np.isnan(values).any(axis=0)
    chosen = halves[:, used].astype(float)
    return values[:, used] @ chosen.T / np.maximum(chosen.sum(axis=1), 1)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Mean over columns of Spearman's rank correlation; NaN where no column has an order.

    Args:
        one: (things, divisions).
        other: the same.
    """
    if not one.size:
        return math.nan
    ranks = [rankdata(each.round(12), axis=0) for each in (one, other)]
    first, second = (each - each.mean(axis=0) for each in ranks)
    scale = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    known = scale > 0
    return float(((first * second).sum(axis=0)[known] / scale[known]).mean()) if known.any() else math.nan


def steadiness(
    measures: Mapping[str, np.ndarray], folds: np.ndarray, levels: np.ndarray, factors: int, draws: int = DRAWS
) -> list[Steadiness]:
    """Compare measures; the first one is the score.

    Args:
        measures: name -> (runs, n) float64, the same tiles in all runs; NaN for tiles that a measure leaves out.
        folds: (n,) fold of each tile.
        levels: (runs, columns) -1 or 1.
        factors: number of columns that have a factor.
        draws: number of random halves.
    """
    within, between = halves_of_tiles(folds, draws), halves_of_folds(folds)
    score = next(iter(measures.values()))
    divisions = between if len(between) else within
    targets = means(score, divisions), means(score, ~divisions)
    own = _predicts(targets, targets)
    found = []
    for name, values in measures.items():
        tiles = within.shape[1] - int(np.isnan(values).any(axis=0).sum())
        by_division = means(values, divisions), means(values, ~divisions)
        predicts, gain, error = _gain(by_division, targets, own)
        found.append(
            Steadiness(
                name,
                tiles,
                *_noise(values, levels, factors),
                agreement(means(values, within), means(values, ~within)),
                agreement(means(values, between), means(values, ~between)),
                agreement(*(2 * levels[:, :factors].T @ each / len(levels) for each in by_division)),
                predicts,
                gain,
                error,
            )
        )
    return found


def _noise(values: np.ndarray, levels: np.ndarray, factors: int) -> tuple[float, float]:
    """Standard errors of an effect, over trainings and over tiles, in units of the spread of the factors' effects."""
    used = values[:, ~np.isnan(values).any(axis=0)]
    by_tile = 2 * levels.T @ used / len(levels)  # (columns, n)
    effects = by_tile.mean(axis=1)
    spread = math.sqrt(np.mean(effects[:factors] ** 2)) or math.nan
    training = math.sqrt(np.mean(effects[factors:] ** 2)) if factors < len(effects) else math.nan
    tile = math.sqrt(np.mean(by_tile[:factors].var(axis=1, ddof=1)) / used.shape[1])
    return training / spread, tile / spread


Halves = tuple[np.ndarray, np.ndarray]


def _predicts(measure: Halves, score: Halves) -> float:
    """Agreement of the measure on each half with the score on the other one."""
    return (agreement(measure[0], score[1]) + agreement(measure[1], score[0])) / 2


def _gain(measure: Halves, score: Halves, own: float) -> tuple[float, float, float]:
    """``_predicts``, how far it exceeds that of the score, and the standard error of this over runs (jackknife)."""
    predicts, runs = _predicts(measure, score), len(score[0])

    def without(run: int, halves: Halves) -> Halves:
        return np.delete(halves[0], run, axis=0), np.delete(halves[1], run, axis=0)

    gains = np.array(
        [
            _predicts(without(run, measure), without(run, score)) - _predicts(without(run, score), without(run, score))
            for run in range(runs)
        ]
    )
    error = math.sqrt((runs - 1) / runs * float(((gains - gains.mean()) ** 2).sum()))
    return predicts, predicts - own, error


def table(rows: Sequence[Steadiness], text: Callable[[float], str] = "{:.2f}".format) -> list[str]:
    """The measures as lines of a Markdown table."""
    lines = [
        "| measure | tiles | error over trainings / spread | error over tiles / spread | runs, halves of tiles "
        "| runs, halves of folds | effects, halves | predicts the score | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shown = [*row[2:7], row.predicts]
        numbers = " | ".join("" if math.isnan(each) else text(each) for each in shown)
        compared = row is not rows[0] and not math.isnan(row.gain)
        gain = f" ({row.gain:+.2f} ± {row.gain_error:.2f})" if compared else ""
        verdict = "steadier than the score" if compared and row.steadier else ""
        lines.append(f"| {row.name} | {row.tiles:,} | {numbers}{gain} | {verdict} |")
    return lines
