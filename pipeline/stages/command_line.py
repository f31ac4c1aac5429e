"""A command about the same dataset, experiment and settings, as the user types it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from pipeline.config import CHECKOUT, ROOT, SCRIPT
from pipeline.config.datasets import DEFAULT_DATASET, dataset
from pipeline.stages.stage import Context
from pipeline.system.progress import short_path


def command_line(
    context: Context, targets: str, *, experiment: str = "", folds: str = "", retrain: bool = False, tile: str = ""
) -> str:
    """A command for the same dataset, experiment and settings, which it has to repeat.

    In a checkout it is one of make, and outside of it, or for another root folder, one of the package. The dataset's
    default experiment is left out.

    Args:
        context: of this command.
        targets: stages or another command, separated by spaces.
        experiment: another experiment.
        folds: the only folds, where the command has to name them.
        retrain: let the command replace finished folds.
        tile: id of the tile that ``show`` draws.
    """
    layout, experiment = context.layout, experiment or context.layout.experiment
    options = {
        "dataset": layout.dataset if layout.dataset != DEFAULT_DATASET.name else "",
        "experiment": experiment if experiment != dataset(layout.dataset).default_experiment else "",
        "folds": folds,
        "set": " ".join(context.assignments),
    }
    options = {name: value for name, value in options.items() if value}
    if layout.root.resolve() == CHECKOUT:
        # Make reads a dollar as the start of a variable.
        options = {**({"tile": tile} if tile else {}), **options}
        variables = (f"{name.upper()}={shlex.quote(value.replace('$', '$$'))}" for name, value in options.items())
        return " ".join(["make", targets, *variables, *(["RETRAIN=1"] if retrain else [])])
    # The Makefile passes no --root. The last target brings those before it up to date.
    if CHECKOUT is not None or layout.root.resolve() != ROOT.resolve():
        options["root"] = str(layout.root)
    words = (f"--{name} {shlex.quote(value)}" for name, value in options.items())
    first, last = [shlex.quote(tile)] if tile else [], []
    if tile.startswith("-"):  # or it would be read as an option
        first, last = [], ["--", *first]
    return " ".join([program(), targets.split()[-1], *first, *words, *(["--retrain"] if retrain else []), *last])


def program() -> str:
    """The program as the user types it before a command of its own."""
    if CHECKOUT is None and shutil.which(SCRIPT):
        return SCRIPT
    return f"{shlex.quote(short_path(Path(sys.executable)))} -m pipeline"
