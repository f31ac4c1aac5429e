"""Trainings to compare: each by the ordinary command in its own root folder, so that it resumes where it stopped."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

DATASET = "tgs"


class Run(NamedTuple):
    """One training of all folds."""

    name: str
    """Of its folder."""
    experiment: str
    assignments: tuple[str, ...]
    """Settings such as ``train.epochs=48``."""

    def root(self, folder: Path) -> Path:
        """Its root folder."""
        return folder / self.name


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that trains runs."""
    parser.add_argument("--folder", type=Path, required=True, help="gets one folder for each run")
    parser.add_argument("--archive", type=Path, help="a zip or folder with the tiles")
    parser.add_argument("--folds", default="", help="only these folds (default: all)")
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="folds at once in each run")
    parser.add_argument("--at-once", type=int, default=1, help="runs at once")


def command(run: Run, options: argparse.Namespace) -> list[str]:
    """The pipeline's command for a run."""
    settings = [part for each in run.assignments for part in ("--set", each)]
    return [
        *(sys.executable, "-m", "pipeline", "train", "--experiment", run.experiment, "--dataset", DATASET),
        *("--archive", str(options.archive), "--root", str(run.root(options.folder))),
        *("--folds", options.folds, "--jobs", str(options.jobs), *settings),
    ]


def train(runs: Iterable[Run], options: argparse.Namespace, done: Callable[[Run, Path], object]) -> int:
    """Train the runs; returns the number of those that failed.

    Args:
        runs: to train.
        options: see ``add_options``.
        done: called with each run that is trained, and with the folder of the runs.
    """

    def one(run: Run) -> bool:
        root = run.root(options.folder)
        root.mkdir(parents=True, exist_ok=True)
        with (root / "log").open("ab") as log:
            status = subprocess.run(command(run, options), stdout=log, stderr=log).returncode
        ended = f"failed, see {root / 'log'}" if status else "done"
        if not status:
            done(run, options.folder)
        print(f"{run.name}: {ended}", flush=True)
        return bool(status)

    with ThreadPoolExecutor(options.at_once) as pool:
        return sum(pool.map(one, runs))


def plan_or_run(
    parser: argparse.ArgumentParser,
    runs: Sequence[Run],
    options: argparse.Namespace,
    done: Callable[[Run, Path], object],
) -> int:
    """Carry out the action ``plan``, which lists the runs, or ``run``, which trains them; returns the exit status."""
    if options.action == "plan":
        for run in runs:
            print(f"{run.name}: {' '.join(run.assignments)}")
        return 0
    if options.archive is None:
        parser.error("run needs --archive")
    return 2 if train(runs, options, done) else 0
