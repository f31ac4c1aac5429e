"""The options of the command line."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline import __version__, config
from pipeline.config import ROOT, SCRIPT, ClusterSettings, KaggleSettings, UserError
from pipeline.config.datasets import DEFAULT_DATASET, DEMO, TGS, dataset
from pipeline.road.select import Selection
from pipeline.stages import ROAD

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

WAIT, LONGEST_WAIT = 600, 86_400
"""Seconds to wait for Kaggle's score: the default and the most. 18,000 tiles usually take less than one minute."""

Command = Callable[[argparse.Namespace], None]


class _Parser(argparse.ArgumentParser):
    """Reports its errors like all others: in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message.removeprefix('argument ')} (see {self.prog} --help)")

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        # argparse hides errors of an unbuffered output.
        print(self.format_help(), end="", file=file)


def make_parser(walk: Command, commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser.

    Args:
        walk: runs the command of a stage.
        commands: runs each other command, by name.

    Returns:
        A parser whose namespaces have the function to call as ``run``.
    """
    road = " -> ".join(stage.name for stage in ROAD)
    parser = _Parser(
        prog=SCRIPT if Path(sys.argv[0]).name == SCRIPT else "python -m pipeline",
        description=f"From the competition's archive to a checked submission. Stages: {road}. "
        "Each stage first runs those before it that are not up to date.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, text: str, run: Command) -> argparse.ArgumentParser:
        command = subparsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(run=run)
        return command

    trains = False
    for stage in ROAD:
        command = add(stage.name, stage.help, walk)
        command.set_defaults(stage=stage.name)
        trains = trains or stage.name == "train"
        _add_selection(command)
        _add_execution(command)
        if trains:
            command.add_argument(
                "--retrain",
                action="store_true",
                help="train finished folds again, and replace them, where settings or inputs have changed",
            )
        if stage.name == "submit":
            _add_upload(command)
    command = add(
        "submissions", "Kaggle's past submissions with your receipts: CV against score", commands["submissions"]
    )
    _add_root(command)
    command = add("show", "draw one tile: image, truth, prediction", commands["show"])
    _add_selection(command)
    command.add_argument("tile", metavar="TILE_ID", help="id of a labelled or a test tile")
    command = add("status", "show what is done, stale (and why) or missing", commands["status"])
    _add_selection(command)
    command.add_argument("--verify", action="store_true", help="also compare every file with its recorded hash")
    command = add("clean", "remove the files of one stage, or of one experiment", commands["clean"])
    _add_selection(command)
    command.add_argument("what", help="a stage (download, prepare, split, train, ...) or the name of an experiment")
    command = add("experiments", "list the experiments", commands["experiments"])
    command.add_argument("--all", action="store_true", help="also those of the ladder, each one step")
    _add_dataset(command)
    _add_root(command)
    command = add("settings", "list the settings: value, meaning, what is allowed", commands["settings"])
    command.add_argument(
        "names", nargs="*", metavar="NAME", help="only these sections (train) or settings (train.epochs)"
    )
    _add_selection(command)
    command.add_argument("--markdown", action="store_true", help="print docs/settings.md: the defaults, in tables")
    return parser


def selection(options: argparse.Namespace) -> Selection:
    """What the options select.

    Raises:
        UserError: options that do not go together.
    """
    return Selection(
        root=options.root,
        dataset=options.dataset,
        experiment=dataset(options.dataset).default_experiment if options.experiment is None else options.experiment,
        folds=options.folds,
        # make passes SET as one text with several assignments.
        assignments=tuple(each for text in options.set for each in config.split_assignments(text)),
        archive=getattr(options, "archive", None),
        jobs=getattr(options, "jobs", 1),
        cluster=_cluster(options),
        kaggle=_kaggle(options),
        retrain=getattr(options, "retrain", False),
    )


def _add_selection(command: argparse.ArgumentParser) -> None:
    _add_dataset(command)
    command.add_argument(
        "--experiment",
        metavar="NAME",
        help=f"default: {TGS.default_experiment}, for the dataset {DEMO.name} {DEMO.default_experiment}; "
        "several, and their blend: a,b,c",
    )
    command.add_argument("--folds", default="", metavar="0,1", help="only these folds (default: all)")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, for example train.epochs=5"
    )
    _add_root(command)


def _add_execution(command: argparse.ArgumentParser) -> None:
    command.add_argument("--archive", type=_path, metavar="PATH", help="a zip or folder to take the tiles from")
    command.add_argument("--jobs", type=_positive, default=1, metavar="N", help="folds at once (default 1)")
    command.add_argument("--executor", choices=("local", "ray", "kaggle"), default="local", help="where the folds run")
    command.add_argument(
        "--address", default="", help="address of a running Ray cluster, or auto (default: start Ray on this machine)"
    )
    command.add_argument(
        "--store", default="", metavar="URL", help="URL of artifacts for machines that do not share --root"
    )
    command.add_argument("--cpus-per-fold", type=_positive, metavar="N", help="cores per fold on Ray")
    command.add_argument("--gpus-per-fold", type=_share, metavar="X", help="GPUs per fold on Ray; 0.5: two share one")
    command.add_argument(
        "--accelerator",
        default="",
        metavar="NAME",
        help=f"machine of a Kaggle kernel (default {KaggleSettings().accelerator}, two GPUs); none: no GPU",
    )
    command.add_argument(
        "--folds-per-kernel", type=_positive, metavar="N", help="folds that one Kaggle kernel trains (default: all)"
    )
    command.add_argument(
        "--no-internet",
        dest="internet",
        action="store_const",
        const=False,
        help="Kaggle kernels have no internet; packages come from a private dataset of wheels",
    )


def _add_upload(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dry-run", action="store_true", help="write and check the CSV, upload nothing")
    wait = command.add_mutually_exclusive_group()
    wait.add_argument(
        "--wait",
        type=_seconds,
        default=WAIT,
        metavar="SECONDS",
        help=f"how long to wait for Kaggle's score (default {WAIT})",
    )
    wait.add_argument("--no-wait", dest="wait", action="store_const", const=0, help="do not wait for Kaggle's score")
    command.add_argument("--force", action="store_true", help="upload a CSV that Kaggle has already")


def _add_dataset(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--dataset",
        default=DEFAULT_DATASET.name,
        metavar="NAME",
        help=f"{TGS.name} (default), {DEMO.name}, or a name of your own",
    )


def _add_root(command: argparse.ArgumentParser) -> None:
    command.add_argument("--root", type=_path, default=ROOT, metavar="PATH", help="folder of data/ and submissions/")


def _cluster(options: argparse.Namespace) -> ClusterSettings | None:
    """Where folds run, if on Ray."""
    given = _given(options, "address", "store", "cpus_per_fold", "gpus_per_fold")
    if getattr(options, "executor", "local") == "ray":
        if options.jobs > 1:
            raise UserError(
                "JOBS (--jobs) is for the local executor; on Ray set the cores of one fold: CPUS=4 (--cpus-per-fold 4)"
            )
        return ClusterSettings(**given)
    if given:
        raise UserError(f"--{next(iter(given)).replace('_', '-')} needs --executor ray")
    return None


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options of these names that the user has given."""
    return {name: getattr(options, name) for name in names if getattr(options, name, None) not in (None, "")}


def _kaggle(options: argparse.Namespace) -> KaggleSettings | None:
    """How kernels run, if folds run at Kaggle."""
    given = _given(options, "accelerator", "folds_per_kernel", "internet")
    if getattr(options, "executor", "local") == "kaggle":
        if options.jobs > 1:
            raise UserError(
                "JOBS (--jobs) is for the local executor; a kernel at Kaggle trains a fold on each of its GPUs"
            )
        return KaggleSettings(**given)
    if given:
        option = next(iter(given)).replace("_", "-").replace("internet", "no-internet")
        raise UserError(f"--{option} needs --executor kaggle")
    return None


def _path(text: str) -> Path:
    # A shell does not expand the ~ of --archive=~/x, nor a quoted one. An unknown user's ~ stays as it is.
    with contextlib.suppress(RuntimeError):
        return Path(text).expanduser()
    return Path(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, not {text!r}")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) > LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"must be a whole number of seconds, 0 to {LONGEST_WAIT}, not {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not (0 <= number <= 1 or (number <= 1024 and number.is_integer())):
        raise argparse.ArgumentTypeError("must be a share of one GPU, such as 0.5, or a whole number of them")
    return number
