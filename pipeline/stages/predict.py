"""Predict the test tiles with each fold's network."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts import Artifact, Layout
from pipeline.execution import executors
from pipeline.execution.task import PredictTask, parts_folder
from pipeline.stages import prepare, train
from pipeline.stages.stage import Context, Stage


def artifact(layout: Layout, fold: int) -> Artifact:
    """Probabilities of the test tiles from one fold's network."""
    return train.predicted(layout, fold)


def make(*contexts: Context) -> None:
    """Fill ``data/<dataset>/experiments/<experiment>/test`` for each experiment."""
    work = [_pending(context) for context in contexts]
    first = contexts[0]
    executors.predict(work, first.jobs, first.cluster, first.kaggle)


def task(layout: Layout, fold: int) -> PredictTask:
    """What it takes to predict the test tiles with one fold."""
    return PredictTask(
        root=layout.root,
        experiment=layout.experiment,
        settings=layout.settings,
        fold=fold,
        tiles=prepare.artifact(layout),
        trained=train.trained(layout, fold),
        predicted=artifact(layout, fold),
    )


def _pending(context: Context) -> list[PredictTask]:
    """The folds of an experiment whose test tiles are not predicted."""
    pending = {each.manifest_path for each in context.pending(STAGE)}
    tasks = [task(context.layout, fold) for fold in context.folds]
    return [each for each in tasks if each.predicted.manifest_path in pending]


def _leftovers(context: Context) -> list[Path]:
    return [parts_folder(artifact(context.layout, fold)) for fold in context.folds]


STAGE = Stage(
    name="predict",
    help="predict the test tiles with every trained fold",
    artifacts=lambda context: [artifact(context.layout, fold) for fold in context.folds],
    make=make,
    side_by_side=True,
    leftovers=_leftovers,
)
