"""A screen of many settings at once: ``python -m benchmarks.screen run --archive tiles.zip --folder ~/screen``.

Each run of a Plackett-Burman design (Plackett and Burman 1946, https://doi.org/10.1093/biomet/33.4.305) trains the
folds with every factor at its low or at its high level, so that each effect is estimated from all 24 runs. A run has
its own root folder, is trained by the ordinary command, and resumes where it stopped. ``table`` compares the runs tile
by tile and prints, for each factor, the effect on the score, its standard errors and its significance.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.reporting.leaderboard_entries import SCORES, read_scores

HERE = Path(__file__).parent
GENERATOR = "+++++-+-++--++--+-+----"
"""First row of the design with 24 runs (Plackett and Burman 1946, table for N = 24)."""
DATASET = "tgs"


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

    def assignments(self, levels: Sequence[int], seed: int) -> list[str]:
        """All assignments of a run.

        Args:
            levels: -1 or 1 for each column of the design; the first ones belong to the factors.
            seed: of the training, the same for all runs of a block.
        """
        chosen = [factor.high if level > 0 else factor.low for factor, level in zip(self.factors, levels, strict=False)]
        return [*self.common, *(each for own in chosen for each in own), f"train.seed={seed}"]


class Effect(NamedTuple):
    """The effect of a factor: the mean score at its high level less that at its low level."""

    name: str
    effect: float
    error: float
    """Standard error over repetitions of the training: from the columns without a factor."""
    tile_error: float
    """Standard error over tiles, from the effects of the single tiles."""

    @property
    def significant(self) -> bool:
        """Whether the effect exceeds twice both errors together."""
        return abs(self.effect) > 2 * math.hypot(self.error, self.tile_error)


def design() -> np.ndarray:
    """The Plackett-Burman design with 24 runs: (24, 23) int64 of -1 and 1, columns orthogonal and balanced."""
    first = np.array([1 if sign == "+" else -1 for sign in GENERATOR])
    return np.vstack([np.roll(first, shift) for shift in range(len(first))] + [np.full(len(first), -1)])


def read(path: Path) -> Screen:
    """Read the factors.

    Raises:
        ValueError: there are more factors than columns less three, which are needed for the error.
    """
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    factors = tuple(Factor(each["name"], tuple(each["low"]), tuple(each["high"])) for each in tree["factor"])
    if len(factors) > len(GENERATOR) - 3:
        raise ValueError(
            f"{path}: {len(factors)} factors; at most {len(GENERATOR) - 3}, so that three columns are left"
        )
    return Screen(tree["experiment"], tuple(tree["common"]), factors)


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
    return [Effect(name, float(means[at]), error, float(tile_errors[at])) for at, name in enumerate(names)]


# ---- Runs -----------------------------------------------------------------------------------------------------------


def folder_of(folder: Path, run: int, seed: int) -> Path:
    """Root folder of a run."""
    return folder / f"run-{run:02}-seed{seed}"


def command(screen: Screen, run: int, seed: int, options: argparse.Namespace) -> list[str]:
    """The pipeline's command for a run."""
    settings = [part for each in screen.assignments(design()[run].tolist(), seed) for part in ("--set", each)]
    return [
        *(sys.executable, "-m", "pipeline", "train", "--experiment", screen.experiment, "--dataset", DATASET),
        *("--archive", str(options.archive), "--root", str(folder_of(options.folder, run, seed))),
        *("--folds", options.folds, "--jobs", str(options.jobs), *settings),
    ]


def train(screen: Screen, options: argparse.Namespace) -> int:
    """Train every run of the design; returns the number of runs that failed."""

    def one(run: int, seed: int) -> bool:
        root = folder_of(options.folder, run, seed)
        root.mkdir(parents=True, exist_ok=True)
        with (root / "log").open("ab") as log:
            status = subprocess.run(command(screen, run, seed, options), stdout=log, stderr=log).returncode
        ended = f"failed, see {root / 'log'}" if status else "done"
        print(f"run {run:2} seed {seed}: {ended}", flush=True)
        return bool(status)

    wanted = [(run, seed) for seed in options.seeds for run in range(len(design()))]
    with ThreadPoolExecutor(options.at_once) as pool:
        return sum(pool.map(lambda pair: one(*pair), wanted))


# ---- Table ----------------------------------------------------------------------------------------------------------


def tile_scores(root: Path, experiment: str) -> dict[str, float]:
    """Tile id -> cross-fitted score of a finished run; empty where it is not finished."""
    path = root / "data" / DATASET / "experiments" / experiment / SCORES
    return read_scores(path) if path.is_file() else {}


def table(screen: Screen, options: argparse.Namespace) -> list[str]:
    """The effects as lines of a Markdown table.

    Raises:
        ValueError: a run is not finished, or was scored on other tiles.
    """
    levels, blocks = design(), []
    for seed in options.seeds:
        found = [tile_scores(folder_of(options.folder, run, seed), screen.experiment) for run in range(len(levels))]
        unfinished = [str(run) for run, each in enumerate(found) if not each]
        if unfinished:
            raise ValueError(f"seed {seed}: not finished: run {', '.join(unfinished)}")
        ids = sorted(found[0])
        if any(each.keys() != found[0].keys() for each in found):
            raise ValueError(f"seed {seed}: the runs were scored on different tiles")
        blocks.append(np.array([[each[tile] for tile in ids] for each in found]))
    scores = np.vstack(blocks)
    names = [factor.name for factor in screen.factors]
    rows = effects(scores, np.vstack([levels] * len(blocks)), names)
    lines = [
        "| factor | high level | effect | standard error, trainings | standard error, tiles | |",
        "|---|---|---|---|---|---|",
    ]
    for factor, row in sorted(zip(screen.factors, rows, strict=True), key=lambda pair: -abs(pair[1].effect)):
        mark = "significant" if row.significant else ""
        high = ", ".join(f"`{each}`" for each in factor.high)
        lines.append(f"| {row.name} | {high} | {row.effect:+.4f} | {row.error:.4f} | {row.tile_error:.4f} | {mark} |")
    about = f"{len(scores)} trainings, {scores.shape[1]:,} tiles, mean score {scores.mean():.4f}."
    return [*lines, "", about]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screen", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("plan", "run", "table"), help="list the runs, train them, compare them")
    parser.add_argument("--folder", type=Path, required=True, help="gets one folder for each run")
    parser.add_argument("--archive", type=Path, help="a zip or folder with the tiles")
    parser.add_argument("--factors", type=Path, default=HERE / "screen.toml")
    parser.add_argument("--folds", default="", help="only these folds (default: all)")
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="folds at once in each run")
    parser.add_argument("--at-once", type=int, default=1, help="runs at once")
    options = parser.parse_args(arguments)
    try:
        screen = read(options.factors)
        if options.action == "table":
            print("\n".join(table(screen, options)))
            return 0
    except (OSError, ValueError, KeyError) as error:
        parser.error(str(error))
    if options.action == "plan":
        for run, levels in enumerate(design()):
            print(f"run {run:2}: {' '.join(screen.assignments(levels.tolist(), options.seeds[0]))}")
        return 0
    if options.archive is None:
        parser.error("run needs --archive")
    failed = train(screen, options)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
