"""Choose where folds run: on this machine, on a Ray cluster, or at Kaggle."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import ClusterSettings, KaggleSettings
from pipeline.execution.task import PredictTask, TrainTask


def train(
    work: Sequence[Sequence[TrainTask]], jobs: int, cluster: ClusterSettings | None, kaggle: KaggleSettings | None
) -> None:
    """Train folds and predict their out-of-fold tiles, except what is done already.

    Args:
        work: the folds of each experiment.
        jobs: folds at once on this machine.
        cluster: where folds run, if on Ray.
        kaggle: how kernels run, if folds run at Kaggle.

    Raises:
        UserError: folds failed; the others are done.
    """
    if cluster is not None:
        from pipeline.execution.ray import experiments

        experiments.train([task for tasks in work for task in tasks], cluster)
        return
    for tasks in work:
        if kaggle is not None:
            from pipeline.execution.kaggle import folds

            folds.train(tasks, kaggle)
        else:
            from pipeline.execution import local

            local.train(tasks, jobs)


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
