"""Choose where folds run: on this machine, on a Ray cluster, or at Kaggle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pipeline.config import ClusterSettings, KaggleSettings
from pipeline.execution.task import PredictTask, TrainTask

if TYPE_CHECKING:
    from pipeline.execution.progress_page import ProgressPage


def train(
    work: Sequence[Sequence[TrainTask]],
    pages: Mapping[str, ProgressPage],
    jobs: int,
    cluster: ClusterSettings | None,
    kaggle: KaggleSettings | None,
) -> None:
    """Train folds and predict their out-of-fold tiles, except what is done already.

    Args:
        work: the folds of each experiment.
        pages: of the experiments, by their names; they show the progress, except that of kernels, which have a log.
        jobs: folds at once on this machine.
        cluster: where folds run, if on Ray.
        kaggle: how kernels run, if folds run at Kaggle.

    Raises:
        UserError: folds failed; the others are done.
    """
    if cluster is not None:
        from pipeline.execution.ray import experiments

        with ExitStack() as stack:
            entered = {name: stack.enter_context(page) for name, page in pages.items()}
            experiments.train([task for tasks in work for task in tasks], cluster, entered)
        return
    for tasks in work:
        if kaggle is not None:
            from pipeline.execution.kaggle import folds

            folds.train(tasks, kaggle)
        else:
            from pipeline.execution import local

            with pages[tasks[0].experiment] as page:
                local.train(tasks, jobs, page)


def predict(
    work: Sequence[Sequence[PredictTask]], jobs: int, cluster: ClusterSettings | None, kaggle: KaggleSettings | None
) -> None:
    """Predict the test tiles with the networks of folds; arguments and errors as in ``train``."""
    if cluster is not None:
        from pipeline.execution.ray import experiments

        experiments.predict([task for tasks in work for task in tasks], cluster)
        return
    for tasks in work:
        if kaggle is not None:
            from pipeline.execution.kaggle import folds

            folds.predict(tasks)
        else:
            from pipeline.execution import local

            local.predict(tasks, jobs)
