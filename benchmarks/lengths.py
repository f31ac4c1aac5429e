"""Whether a ranking of settings by short trainings holds for long ones: ``python -m benchmarks.lengths run ...``.

Each setting of ``lengths.toml`` is trained for each number of epochs. ``table`` compares the runs tile by tile and
prints, for each length, the settings' order with their differences from the reference, and for each pair of settings
whether the longer trainings reverse its order.

Each fold of each seed is another training, and their scatter is the error that counts, by Student's t. At least three
trainings of each setting are needed. Where settings do not differ, at most about 5 % of the tables say that any do.
"""

from __future__ import annotations

import argparse
import math
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks import measures, runs, screen
from benchmarks.runs import Run

HERE = Path(__file__).parent
LEVEL = 0.95
"""Of the comparisons of all pairs together."""
FEWEST = 3
"""Trainings of a setting from which their variance is estimated; two tell next to nothing of it."""


@dataclass(frozen=True)
class Lengths:
    """Settings and the numbers of epochs that each is trained for."""

    experiment: str
    epochs: tuple[int, int]
    """Of the short and of the long trainings."""
    settings: dict[str, tuple[str, ...]]
    """Name -> assignments; the first one is the reference."""

    def runs(self, epochs: int, seeds: Sequence[int]) -> list[Run]:
        """The trainings of one length: for one seed after another, the settings in their order."""
        return [
            Run(
                f"{name.replace(' ', '-')}-{epochs}-seed{seed}",
                self.experiment,
                (*assignments, f"train.epochs={epochs}", f"train.seed={seed}"),
            )
            for seed in seeds
            for name, assignments in self.settings.items()
        ]


class Difference(NamedTuple):
    """Mean difference of two settings, tile by tile."""

    mean: float
    error: float
    """Standard error: the larger of that over tiles and that over trainings."""
    margin: float
    """The largest size of a difference that chance explains, at a level for all pairs; infinite with few trainings."""

    @property
    def clear(self) -> bool:
        """Whether it is larger than chance explains."""
        return abs(self.mean) > self.margin


def read(path: Path) -> Lengths:
    """Read the settings and the two lengths.

    Raises:
        ValueError: there are not two numbers of epochs, or fewer than two settings.
    """
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    found = {each["name"]: tuple(each["assignments"]) for each in tree["setting"]}
    epochs = sorted({*tree["epochs"]})
    if len(epochs) != 2 or len(found) < 2:
        raise ValueError(f"{path}: two numbers of epochs and two settings or more are needed")
    return Lengths(tree["experiment"], (epochs[0], epochs[1]), found)


def difference(values: np.ndarray, folds: np.ndarray, pairs: int = 1) -> Difference:
    """The mean of paired differences and its standard error.

    Args:
        values: (seeds, n) float64, differences of each tile in each seed.
        folds: (n,) fold of each tile; each is another training.
        pairs: that are compared; the level is divided by their number.
    """
    trainings = np.concatenate([values[:, folds == fold].mean(axis=1) for fold in np.unique(folds)])
    count, level = len(trainings), 1 - (1 - LEVEL) / 2 / pairs
    over_tiles = float(values.mean(axis=0).std(ddof=1)) / math.sqrt(values.shape[1])
    over_trainings = float(trainings.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    # The trainings of several seeds share the tiles of their fold, so that their scatter alone can be too small.
    margin = max(float(stats.norm.ppf(level)) * over_tiles, float(stats.t.ppf(level, count - 1)) * over_trainings)
    return Difference(float(values.mean()), max(over_tiles, over_trainings), margin if count >= FEWEST else math.inf)


def compared(
    short: np.ndarray, long: np.ndarray, folds: np.ndarray, names: Sequence[str], epochs: tuple[int, int]
) -> list[str]:
    """Both rankings and what becomes of each pair, as lines of Markdown.

    Args:
        short: (settings, seeds, n) float64, a measure of each tile after the short trainings.
        long: the same after the long ones, on the same tiles.
        folds: (n,) fold of each tile.
        names: of the settings, the reference first.
        epochs: of the trainings.
    """
    lines = [
        f"| setting | {epochs[0]} epochs | difference | rank | {epochs[1]} epochs | difference | rank |",
        "|---|---|---|---|---|---|---|",
    ]
    cells: list[list[str]] = [[] for _ in names]
    for values in (short, long):
        means = values.mean(axis=(1, 2))
        for at, own in enumerate(cells):
            found = difference(values[at] - values[0], folds)
            shown = f"{found.mean:+.4f} ± {found.error:.4f}" if at else ""
            own += [f"{means[at]:.4f}", shown, str(1 + int((means > means[at]).sum()))]
    lines += [f"| {' | '.join([name, *own])} |" for name, own in zip(names, cells, strict=True)]
    lines += ["", f"| pair | {epochs[0]} epochs | {epochs[1]} epochs | change | order |", "|---|---|---|---|---|"]
    verdicts = []
    pairs = list(combinations(range(len(names)), 2))
    for one, other in pairs:
        before, after = short[one] - short[other], long[one] - long[other]
        parts = [difference(each, folds, len(pairs)) for each in (before, after, after - before)]
        verdicts.append(verdict(*parts))
        shown = " | ".join(f"{each.mean:+.4f} ± {each.error:.4f}" for each in parts)
        lines.append(f"| {names[one]} - {names[other]} | {shown} | {verdicts[-1]} |")
    return [*lines, "", conclusion(verdicts, epochs, short.shape[1] * len(np.unique(folds)))]


def verdict(short: Difference, long: Difference, change: Difference) -> str:
    """What becomes of the order of two settings: ``same``, ``reversed``, or ``undecided`` where chance explains it."""
    if not short.clear or not long.clear:
        # One of the two does not tell the settings apart; a clear change still shows that length matters.
        return "changed" if change.clear else "undecided"
    return "same" if short.mean * long.mean > 0 else "reversed"


def conclusion(verdicts: Sequence[str], epochs: tuple[int, int], trainings: int) -> str:
    """The answer in one sentence.

    Args:
        verdicts: of the pairs.
        epochs: of the trainings.
        trainings: of each setting at each length.
    """
    counts = ", ".join(f"{verdicts.count(each)} {each}" for each in ("same", "undecided", "changed", "reversed"))
    if trainings < FEWEST:
        answer = f"Undecided: a setting has {trainings} of {FEWEST} trainings or more; add folds or --seeds"
    elif "reversed" in verdicts:
        answer = f"The ranking at {epochs[0]} epochs does not hold at {epochs[1]}"
    elif "changed" in verdicts:
        answer = f"Differences at {epochs[0]} epochs are others at {epochs[1]}, but no clear order is reversed"
    elif "same" in verdicts:
        answer = f"The ranking at {epochs[0]} epochs holds at {epochs[1]} wherever it is clear"
    else:
        answer = f"No pair differs by more than its error at both {epochs[0]} and {epochs[1]} epochs"
    return f"{answer} (pairs: {counts})."


def table(lengths: Lengths, options: argparse.Namespace) -> list[str]:
    """The comparison as lines of Markdown.

    Raises:
        ValueError: a run is not finished or was scored on other tiles, or no run has the measure.
    """
    names = list(lengths.settings)
    trained = planned(lengths, options.seeds)
    folds, values = screen.measured(trained, options.folder)
    if options.measure not in values:
        raise ValueError(f"there is no measure {options.measure!r}; there are {', '.join(values)}")
    used = ~np.isnan(values[options.measure]).any(axis=0)  # without the tiles that the measure leaves out
    chosen = values[options.measure][:, used]
    short, long = chosen.reshape(2, len(options.seeds), len(names), -1).swapaxes(1, 2)
    about = f"{options.measure}, {len(trained)} trainings, {chosen.shape[1]:,} tiles."
    return [*compared(short, long, folds[used], names, lengths.epochs), "", about]


def planned(lengths: Lengths, seeds: Sequence[int]) -> list[Run]:
    """All trainings, the short ones first: there may be no time for the long ones."""
    return [run for epochs in lengths.epochs for run in lengths.runs(epochs, seeds)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = runs.make_parser("benchmarks.lengths", __doc__, "--settings", HERE / "lengths.toml")
    parser.add_argument("--measure", default=measures.SCORE, help="what the table compares (default: the score)")
    return runs.carry_out(parser, parser.parse_args(arguments), read, table, planned, measures.of_run)


if __name__ == "__main__":
    sys.exit(main())
