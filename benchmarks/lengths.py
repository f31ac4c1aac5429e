"""Whether a ranking of settings by short trainings holds for long ones: ``python -m benchmarks.lengths run ...``.

Each setting of ``lengths.toml`` is trained for each number of epochs. ``table`` compares the runs tile by tile and
prints, for each length, the settings' order with their differences from the reference, and for each pair of settings
whether the longer trainings reverse its order.
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

from benchmarks import measures, runs, screen
from benchmarks.runs import Run

HERE = Path(__file__).parent


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
    """Standard error: over tiles, and with two seeds or more also over trainings."""


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


def difference(values: np.ndarray) -> Difference:
    """The mean of paired differences and its standard error.

    Args:
        values: (seeds, n) float64, differences of each tile in each seed.
    """
    tiles = float(values.mean(axis=0).std(ddof=1)) / math.sqrt(values.shape[1])
    seeds = float(values.mean(axis=1).std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Difference(float(values.mean()), math.hypot(tiles, seeds))


def compared(short: np.ndarray, long: np.ndarray, names: Sequence[str], epochs: tuple[int, int]) -> list[str]:
    """Both rankings and what becomes of each pair, as lines of Markdown.

    Args:
        short: (settings, seeds, n) float64, a measure of each tile after the short trainings.
        long: the same after the long ones, on the same tiles.
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
            found = difference(values[at] - values[0])
            shown = f"{found.mean:+.4f} ± {found.error:.4f}" if at else ""
            own += [f"{means[at]:.4f}", shown, str(1 + int((means > means[at]).sum()))]
    lines += [f"| {' | '.join([name, *own])} |" for name, own in zip(names, cells, strict=True)]
    lines += ["", f"| pair | {epochs[0]} epochs | {epochs[1]} epochs | change | order |", "|---|---|---|---|---|"]
    verdicts = []
    for one, other in combinations(range(len(names)), 2):
        before, after = short[one] - short[other], long[one] - long[other]
        parts = [difference(before), difference(after), difference(after - before)]
        verdicts.append(verdict(*parts))
        shown = " | ".join(f"{each.mean:+.4f} ± {each.error:.4f}" for each in parts)
        lines.append(f"| {names[one]} - {names[other]} | {shown} | {verdicts[-1]} |")
    return [*lines, "", conclusion(verdicts, epochs)]


def verdict(short: Difference, long: Difference, change: Difference) -> str:
    """What becomes of the order of two settings: ``same``, ``reversed``, or ``undecided`` within two errors."""
    if abs(long.mean) <= 2 * long.error or abs(short.mean) <= 2 * short.error:
        # One of the two does not tell the settings apart; a change of two errors still shows that length matters.
        return "changed" if abs(change.mean) > 2 * change.error else "undecided"
    return "same" if short.mean * long.mean > 0 else "reversed"


def conclusion(verdicts: Sequence[str], epochs: tuple[int, int]) -> str:
    """The answer in one sentence."""
    counts = ", ".join(f"{verdicts.count(each)} {each}" for each in ("same", "undecided", "changed", "reversed"))
    if "reversed" in verdicts:
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
    _, values = screen.measured(trained, options.folder)
    if options.measure not in values:
        raise ValueError(f"there is no measure {options.measure!r}; there are {', '.join(values)}")
    chosen = values[options.measure]
    chosen = chosen[:, ~np.isnan(chosen).any(axis=0)]  # without the tiles that the measure leaves out
    short, long = chosen.reshape(2, len(options.seeds), len(names), -1).swapaxes(1, 2)
    about = f"{options.measure}, {len(trained)} trainings, {chosen.shape[1]:,} tiles."
    return [*compared(short, long, names, lengths.epochs), "", about]


def planned(lengths: Lengths, seeds: Sequence[int]) -> list[Run]:
    """All trainings, the short ones first: there may be no time for the long ones."""
    return [run for epochs in lengths.epochs for run in lengths.runs(epochs, seeds)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = runs.make_parser("benchmarks.lengths", __doc__, "--settings", HERE / "lengths.toml")
    parser.add_argument("--measure", default=measures.SCORE, help="what the table compares (default: the score)")
    return runs.carry_out(parser, parser.parse_args(arguments), read, table, planned, measures.of_run)


if __name__ == "__main__":
    sys.exit(main())
