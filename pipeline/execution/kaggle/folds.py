"""Train and predict the folds of experiments at Kaggle."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby

from pipeline.artifacts import Freshness, locked, reusable_from
from pipeline.config import KaggleSettings, UserError
from pipeline.config.datasets import Source, dataset
from pipeline.execution import local
from pipeline.execution.kaggle.api import KernelApi
from pipeline.execution.kaggle.fetch import fetch_predicted
from pipeline.execution.kaggle.names import training_of
from pipeline.execution.kaggle.training import find_kernels, train_at_kaggle
from pipeline.execution.task import FoldTask, PredictTask, TrainTask
from pipeline.system.progress import echo, fold_names


def train(tasks: Sequence[TrainTask], place: KaggleSettings) -> None:
    """Train folds and predict their out-of-fold tiles, except what is done already.

    Args:
        tasks: folds of one experiment.
        place: how kernels run.

    Raises:
        UserError: kernels could not be started or failed; folds of other kernels are done.
    """
    tasks = [task.moved(task.root.resolve()) for task in tasks]
    _check_dataset(tasks[0])
    with ExitStack() as stack:
        for task in tasks:
            # Another command would push the same folds a second time.
            stack.enter_context(locked(task.trained))
            stack.enter_context(locked(task.out_of_fold))
        freshness = Freshness()
        here = [task for task in tasks if freshness.state(task.trained).done or reusable_from(task.trained)]
        if here:
            local.train(here)
        if there := [task for task in tasks if task not in here]:
            train_at_kaggle(there, place)
            now = Freshness()
            if rest := [task for task in there if not now.state(task.out_of_fold).done]:
                local.train(rest)


def predict(tasks: Sequence[PredictTask]) -> None:
    """Fetch the predictions that the kernels have made right after training; others are made on this machine.

    Args:
        tasks: folds of one experiment.

    Raises:
        UserError: Kaggle does not answer, or a prediction failed.
    """
    tasks = [task.moved(task.root.resolve()) for task in tasks]
    _check_dataset(tasks[0])
    api, left = KernelApi(), list(tasks)
    for training, group in groupby(tasks, training_of):
        mine = list(group)
        known, _ = find_kernels(api, training)
        for kernel in reversed(known):
            wanted = [task for task in mine if task in left and task.fold in kernel.folds]
            status = api.status(kernel) if wanted else None
            if status is not None and status.ended:
                for task in fetch_predicted(api, training, kernel, wanted):
                    left.remove(task)
                    echo(f"fold {task.fold}: test tiles predicted at Kaggle")
    if left:
        echo(f"predict: no kernel has predicted with these networks of {fold_names(task.fold for task in left)}; "
             "predicting on this machine")  # fmt: skip
        local.predict(left)


def _check_dataset(task: FoldTask) -> None:
    name = training_of(task).dataset
    if dataset(name).source is Source.ARCHIVE:
        raise UserError(
            f"dataset {name!r}: Kaggle has only the tiles of the competition; leave EXECUTOR=kaggle out, or DATASET"
        )
