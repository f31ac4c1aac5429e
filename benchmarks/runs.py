"""Trainings to compare: each by the ordinary command in its own root folder, so that it resumes where it stopped.

Tiles, folds and pretrained networks are made once, in the root folder ``shared``, and linked from the others.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

DATASET = "tgs"
SHARED = ("raw", "tiles", "mosaic", "folds", "pretrained")
"""Folders of a dataset that its experiments share."""
Design = TypeVar("Design")


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


def make_parser(module: str, about: str, design: str, file: Path) -> argparse.ArgumentParser:
    """The command line of a design: what to do with its runs, and how they are trained.

    Args:
        module: that is run.
        about: its docstring.
        design: option that names the file of the design.
        file: its default.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about.splitlines()[0])
    parser.add_argument("action", choices=("plan", "run", "table"), help="list the runs, train them, compare them")
    parser.add_argument(design, dest="design", type=Path, default=file)
    parser.add_argument("--folder", type=Path, required=True, help="gets one folder for each run")
    parser.add_argument("--archive", type=Path, help="a zip or folder with the tiles")
    parser.add_argument("--folds", default="", help="only these folds (default: all)")
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="folds at once in each run")
    parser.add_argument("--at-once", type=int, default=1, help="runs at once")
    return parser


def command(run: Run, options: argparse.Namespace, stage: str = "train") -> list[str]:
    """The pipeline's command for a run."""
    settings = [part for each in run.assignments for part in ("--set", each)]
    return [
        *(sys.executable, "-m", "pipeline", stage, "--experiment", run.experiment, "--dataset", DATASET),
        *("--archive", str(options.archive), "--root", str(run.root(options.folder))),
        *("--folds", options.folds, "--jobs", str(options.jobs), *settings),
    ]


def make_shared(run: Run, options: argparse.Namespace) -> int:
    """Make tiles and folds as a run needs them, in the folder ``shared``; returns the exit status."""
    shared = run._replace(name="shared")
    status = subprocess.run(command(shared, options, "split")).returncode
    # Its networks are made by the run that first needs them; the others wait for it.
    (shared.root(options.folder) / "data" / DATASET / "pretrained").mkdir(parents=True, exist_ok=True)
    return status


def link_shared(run: Run, folder: Path) -> None:
    """Link the shared folders into a run's root; what it has of its own stays."""
    own, shared = run.root(folder) / "data" / DATASET, folder.absolute() / "shared" / "data" / DATASET
    own.mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        if (shared / name).is_dir() and not (own / name).exists():
            (own / name).symlink_to(shared / name, target_is_directory=True)


def train(runs: Iterable[Run], options: argparse.Namespace, done: Callable[[Run, Path], object]) -> int:
    """Train the runs; returns the number of those that failed.

    Args:
        runs: to train.
        options: see ``make_parser``.
        done: called with each run that is trained, and with the folder of the runs.
    """

    def one(run: Run) -> bool:
        root = run.root(options.folder)
        link_shared(run, options.folder)
        with (root / "log").open("ab") as log:
            status = subprocess.run(command(run, options), stdout=log, stderr=log).returncode
        ended = f"failed, see {root / 'log'}" if status else "done"
        if not status:
            done(run, options.folder)
        print(f"{run.name}: {ended}", flush=True)
        return bool(status)

    with ThreadPoolExecutor(options.at_once) as pool:
        return sum(pool.map(one, runs))


def carry_out(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    read: Callable[[Path], Design],
    table: Callable[[Design, argparse.Namespace], list[str]],
    planned: Callable[[Design, Sequence[int]], Sequence[Run]],
    done: Callable[[Run, Path], object],
) -> int:
    """Carry out the action; returns the exit status.

    Args:
        parser: from ``make_parser``.
        options: that it has read.
        read: a file -> the design in it.
        table: lines of the comparison; the action ``table``.
        planned: design, seeds -> the runs; the action ``plan`` lists them, ``run`` trains them.
        done: called with each run that is trained, and with the folder of the runs.
    """
    try:
        design = read(options.design)
        if options.action == "table":
            print("\n".join(table(design, options)))
            return 0
    except (OSError, ValueError, KeyError) as error:
        parser.error(str(error))
    runs = planned(design, options.seeds)
    if options.action == "plan":
        for run in runs:
            print(f"{run.name}: {' '.join(run.assignments)}")
        return 0
    if options.archive is None:
        parser.error("run needs --archive")
    if status := make_shared(runs[0], options):
        return status
    return 2 if train(runs, options, done) else 0
