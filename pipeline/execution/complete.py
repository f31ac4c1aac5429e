"""Complete one fold in this process."""

from __future__ import annotations

from pipeline.artifacts import Freshness, reuse_weights
from pipeline.execution.backend import load_fold_module
from pipeline.execution.task import TrainTask
from pipeline.system.progress import FoldCallback


def complete_fold(task: TrainTask, callback: FoldCallback, freshness: Freshness) -> None:
    """Train one fold and predict its out-of-fold tiles, unless that is done already.

    Args:
        task: the fold.
        callback: receives the events of the training.
        freshness: what is done.
    """
    if not freshness.state(task.trained).done:
        if other := reuse_weights(task.trained):
            callback.reused(task.fold, other)
        else:
            load_fold_module().train_fold(task, callback)
        freshness.forget()
    if not freshness.state(task.out_of_fold).done:
        load_fold_module().predict_out_of_fold(task)
        freshness.forget()
