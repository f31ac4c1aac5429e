"""How long an epoch of a fold takes on this machine, and how many epochs fit into a time."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.config import UserError
from pipeline.execution.backend import load_fold_module
from pipeline.execution.task import TrainTask
from pipeline.execution.workers import terminated_on_error, workers
from pipeline.system import machine
from pipeline.system.progress import Epoch, FoldCallback, format_duration

STEPS = 100
"""Most steps of an epoch that is measured."""
EPOCHS = 3
"""Epochs that are measured; the first contains the compilation, and a later one that of ``train.late_loss``."""
MARGIN = 0.07
"""Share of the time that is left over, for what takes longer than measured."""


class Pace(NamedTuple):
    """What a fold's training takes, in seconds."""

    epoch: float
    """Each epoch: its steps, its scoring and the backup."""
    fold: float
    """All else: start, compilation and out-of-fold prediction."""


class _Epochs(FoldCallback):
    """Keeps the seconds of each epoch."""

    def __init__(self) -> None:
        self.steps = 0
        self.results: list[tuple[Mapping[str, Any], float]] = []

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        self.steps = steps

    def epoch(self, result: Epoch) -> None:
        self.results.append((result.history[-1], result.seconds))


def measure(tasks: list[TrainTask], jobs: int, longest: float) -> Pace:
    """Train the first steps of as many folds at once as ``jobs``, in processes of their own; the mean of their paces.

    Args:
        tasks: folds to train, at least one.
        jobs: folds that are trained at once.
        longest: seconds that this may take.

    Raises:
        UserError: it takes longer, or a process was killed.
    """
    together = [tasks[number % len(tasks)] for number in range(min(jobs, len(tasks)))]
    context = multiprocessing.get_context("spawn")
    shares = machine.divide(len(together), machine.cores(), machine.gpus())
    try:
        with workers(context, shares) as pool, terminated_on_error(pool):
            found = list(pool.map(_measure_fold, together, timeout=longest))
    except TimeoutError:
        raise UserError(f"the first epochs took longer than {format_duration(longest)}; set --epochs") from None
    except BrokenProcessPool:
        raise UserError("a process that measured the pace was killed; is the memory full? Lower --jobs") from None
    return Pace(*(sum(each) / len(found) for each in zip(*found, strict=True)))


def _measure_fold(task: TrainTask) -> Pace:
    """Train some steps of a fold, in this process, and score all its validation tiles."""
    started = time.monotonic()
    fold = load_fold_module()
    from pipeline.data import tiles
    from pipeline.data.folds import fold_of_tiles
    from pipeline.training.fit import fit_fold
    from pipeline.training.fold import FoldRun

    train = task.settings.train
    # Without what depends on the number of epochs, which is not known yet and does not change the pace.
    few = msgspec.structs.replace(
        train, epochs=EPOCHS, schedule="constant", snapshots=1, early_stopping=0, keep="best", tensorboard=False
    )
    settings = msgspec.structs.replace(task.settings, train=few)
    data = fold.fold_data(settings, task.fold, tiles.load(task.tiles.folder), fold_of_tiles(task.split.folder))
    callback = _Epochs()
    with tempfile.TemporaryDirectory() as folder:
        some = replace(data, training=data.training[: STEPS * train.batch_size])
        fit_fold(FoldRun(settings, task.fold, Path(folder), "pace", callback), some)
    steps = max(1, len(data.training) // train.batch_size)
    row, seconds = min(callback.results, key=lambda each: each[1])
    own = row["seconds"] / max(1, callback.steps)
    epoch = seconds + own * max(0, steps - callback.steps)
    once = time.monotonic() - started - len(callback.results) * seconds
    return Pace(epoch, once + row["seconds_scoring"] * len(settings.predict.tta))


def epochs_that_fit(pace: Pace, seconds: float, folds: int, jobs: int, finish: float) -> int:
    """The number of epochs, rounded down, that all folds can be trained for; 0 where not one fits.

    Args:
        pace: of one fold, with as many at once as are trained.
        seconds: there are.
        folds: to train.
        jobs: folds at once.
        finish: seconds that are needed after the folds.
    """
    rounds = -(-folds // jobs)
    left = (1 - MARGIN) * seconds - finish - rounds * pace.fold
    return max(0, int(left / (rounds * pace.epoch)))
