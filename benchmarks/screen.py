"""A screen of many settings at once: ``python -m benchmarks.screen run --archive tiles.zip --folder ~/screen``.

Each run of a Plackett-Burman design (Plackett and Burman 1946, https://doi.org/10.1093/biomet/33.4.305) trains the
folds with every factor at its low or at its high level, so that each effect is estimated from all 12 or 24 runs.
``table`` compares the runs tile by tile and prints, for each factor, the effect on the score, its standard errors and
its significance; and for each measure of ``benchmarks.measures`` how steadily it ranks the runs, beside the score.

Where no factor has an effect, at most 5 % of the screens call any of them significant. The error over trainings is
estimated from the few columns without a factor, so that its factor is Student's quantile (4 columns and 19 factors: 6.7
in place of 2), and the level is divided by the number of factors (Bonferroni).
"""

from __future__ import annotations

import argparse
import math
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks import measures, runs, steadiness
from benchmarks.runs import Run

HERE = Path(__file__).parent
GENERATORS = {12: "++-+++---+-", 24: "+++++-+-++--++--+-+----"}
"""First row of the design for each number of runs (Plackett and Burman 1946, tables for N = 12 and N = 24)."""

LEVEL = 0.95
"""Share of the screens without effects in which no factor is called significant, at least."""


@dataclass(frozen=True)
class Factor:
    """Settings that are changed together."""

    name: str
    low: tuple[str, ...]
    """Assignments such as ``train.weight_decay=0.01``."""
    high: tuple[str, ...]


@dataclass(frozen=True)
class Screen:
    """What is screened."""

    experiment: str
    common: tuple[str, ...]
    """Assignments of every run."""
    factors: tuple[Factor, ...]
    runs: int = 24
    """Of the design."""

    def assignments(self, levels: Sequence[int], seed: int) -> list[str]:
        """All assignments of a run.

        Args:
            levels: -1 or 1 for each column of the design; the first ones belong to the factors.
            seed: of the training, the same for all runs of a block.
        """
        chosen = [factor.high if level > 0 else factor.low for factor, level in zip(self.factors, levels, strict=False)]
        return [*self.common, *(each for own in chosen for each in own), f"train.seed={seed}"]


class Limits(NamedTuple):
    """How many standard errors chance explains in an effect, the largest of all factors' effects."""

    trainings: float
    """Student's t, since the error is estimated from few columns."""
    tiles: float
    """Of the normal distribution, since the tiles are many."""


class Effect(NamedTuple):
    """The effect of a factor: the mean score at its high level less that at its low level."""

    name: str
    effect: float
    error: float
    """Standard error over repetitions of the training: from the columns without a factor."""
    tile_error: float
    """Standard error over tiles, from the effects of the single tiles."""
    limits: Limits

    @property
    def significant(self) -> bool:
        """Whether the effect is larger than both errors together explain, each times its own factor."""
        return abs(self.effect) > math.hypot(self.limits.trainings * self.error, self.limits.tiles * self.tile_error)


def design(runs: int = 24) -> np.ndarray:
    """A Plackett-Burman design: (runs, runs - 1) int64 of -1 and 1, columns orthogonal and balanced."""
    first = np.array([1 if sign == "+" else -1 for sign in GENERATORS[runs]])
    return np.vstack([np.roll(first, shift) for shift in range(len(first))] + [np.full(len(first), -1)])


def read(path: Path) -> Screen:
    """Read the factors.

    Raises:
        ValueError: there is no design with so many runs, or there are more factors than columns less three, which are
            needed for the error.
    """
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    factors = tuple(Factor(each["name"], tuple(each["low"]), tuple(each["high"])) for each in tree["factor"])
    number = tree.get("runs", 24)
    if number not in GENERATORS:
        raise ValueError(f"{path}: runs = {number}: take {' or '.join(map(str, GENERATORS))}")
    if len(factors) > (most := number - 4):
        raise ValueError(f"{path}: {len(factors)} factors; at most {most}, so that three columns are left")
    return Screen(tree["experiment"], tuple(tree["common"]), factors, number)


def limits(columns: int, factors: int) -> Limits:
    """The factors of the errors at which 5 % of the screens without effects call a factor significant, or fewer.

    The error over trainings alone would do for this: it also has the tiles' noise in each training. That over tiles is
    added for effects that a few tiles decide.

    Args:
        columns: of the design.
        factors: number of columns that have a factor; all are tried, so the level is divided by their number.

    Reference: Student, "The probable error of a mean", 1908.
    """
    level = 1 - (1 - LEVEL) / 2 / factors
    return Limits(float(stats.t.ppf(level, columns - factors)), float(stats.norm.ppf(level)))


def effects(scores: np.ndarray, levels: np.ndarray, names: Sequence[str]) -> list[Effect]:
    """The effect of each factor.

    Args:
        scores: (runs, n) float64, the score of each tile in each run; the tiles are the same in all runs.
        levels: (runs, columns) -1 or 1.
        names: of the factors, which are the first columns.
    """
    by_tile = 2 * levels.T @ scores / len(levels)  # (columns, n)
    means = by_tile.mean(axis=1)
    # Nothing is changed along the columns without a factor: what shows there is the variance of the trainings.
    error = float(np.sqrt(np.mean(means[len(names) :] ** 2)))
    tile_errors = by_tile.std(axis=1, ddof=1) / math.sqrt(scores.shape[1])
    found = limits(levels.shape[1], len(names))
    return [Effect(name, float(means[at]), error, float(tile_errors[at]), found) for at, name in enumerate(names)]


# ---- Runs -----------------------------------------------------------------------------------------------------------


def runs_of(screen: Screen, seeds: Sequence[int]) -> list[Run]:
    """The runs of the design, for one seed after another."""
    return [
        Run(f"run-{run:02}-seed{seed}", screen.experiment, tuple(screen.assignments(levels.tolist(), seed)))
        for seed in seeds
        for run, levels in enumerate(design(screen.runs))
    ]


# ---- Table ----------------------------------------------------------------------------------------------------------


def measured(runs: Sequence[Run], folder: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The folds of the tiles, (n,) int64, and the values that all runs have: measure -> (runs, n), the score first.

    Raises:
        ValueError: a run is not finished, or was scored on other tiles.
    """
    found = [(run.name, measures.of_run(run, folder)) for run in runs]
    unfinished = [name for name, each in found if each is None]
    if unfinished:
        raise ValueError(f"not finished: {', '.join(unfinished)}")
    first, *others = (each for _, each in found if each is not None)
    if any(not np.array_equal(first.ids, each.ids) or not np.array_equal(first.folds, each.folds) for each in others):
        raise ValueError("the runs were scored on different tiles or folds")
    if lacking := [name for name, each in found if each is not None and len(each.values) == 1]:
        print(f"{', '.join(lacking)}: without out-of-fold probabilities; only the score is compared", file=sys.stderr)
    names = [name for name in first.values if all(name in each.values for each in others)]
    return first.folds, {name: np.array([each.values[name] for each in (first, *others)]) for name in names}


def table(screen: Screen, options: argparse.Namespace) -> list[str]:
    """The effects, and how steadily each measure ranks, as lines of two Markdown tables.

    Raises:
        ValueError: a run is not finished, or was scored on other tiles.
    """
    folds, values = measured(runs_of(screen, options.seeds), options.folder)
    levels, scores = np.vstack([design(screen.runs)] * len(options.seeds)), values[measures.SCORE]
    names = [factor.name for factor in screen.factors]
    rows = effects(scores, levels, names)
    lines = [
        "| factor | high level | effect | standard error, trainings | standard error, tiles | |",
        "|---|---|---|---|---|---|",
    ]
    for factor, row in sorted(zip(screen.factors, rows, strict=True), key=lambda pair: -abs(pair[1].effect)):
        mark = "significant" if row.significant else ""
        high = ", ".join(f"`{each}`" for each in factor.high)
        lines.append(f"| {row.name} | {high} | {row.effect:+.4f} | {row.error:.4f} | {row.tile_error:.4f} | {mark} |")
    about = f"{len(scores)} trainings, {scores.shape[1]:,} tiles, mean score {scores.mean():.4f}."
    columns, by_chance = levels.shape[1], limits(levels.shape[1], len(names))
    about += (
        f" Significant: larger than {by_chance.trainings:.1f} standard errors over trainings and {by_chance.tiles:.1f}"
        f" over tiles, the root of the sum of their squares (Student's t, {columns - len(names)} degrees of freedom,"
        f" {LEVEL:.0%} for all {len(names)} factors together)."
    )
    compared = steadiness.table(steadiness.steadiness(values, folds, levels, len(names)))
    return [*lines, "", about, "", *compared]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = runs.make_parser("benchmarks.screen", __doc__, "--factors", HERE / "screen.toml")
    return runs.carry_out(parser, parser.parse_args(arguments), read, table, runs_of, measures.of_run)


if __name__ == "__main__":
    sys.exit(main())
