"""Train the folds and predict their out-of-fold tiles."""

from __future__ import annotations

from pipeline.artifacts import Artifact, Layout, results
from pipeline.config import stored
from pipeline.execution import executors
from pipeline.execution.task import TrainTask
from pipeline.stages import prepare, split
from pipeline.stages.stage import Context, Stage
from pipeline.system.progress import echo, fold_names
from pipeline.training.files import HISTORY, weight_files


def trained(layout: Layout, fold: int) -> Artifact:
    """The trained weights of one fold and their history."""
    settings = {name: stored(getattr(layout.settings, name)) for name in ("input", "network", "augment", "train")}
    # The number of threads that prepare batches, and TensorBoard's log, do not change the result.
    del settings["train"]["workers"], settings["train"]["tensorboard"]
    return Artifact(
        name=f"train fold {fold}",
        stage="train",
        folder=layout.fold_folder(fold),
        manifest_name="train.json",
        outputs=weight_files(layout.settings.train),
        extras=(HISTORY,),
        settings=settings,
        inputs=(prepare.artifact(layout), split.artifact(layout)),
        version=2,
        result=results.Trained,
    )


def out_of_fold(layout: Layout, fold: int) -> Artifact:
    """Probabilities of the tiles that the fold's network did not see, and their score."""
    return Artifact(
        name=f"out-of-fold {fold}",
        stage="train",
        folder=layout.fold_folder(fold),
        manifest_name="oof.json",
        outputs=("oof.npy",),
        extras=("metrics.json",),
        settings={"predict": {"tta": list(layout.settings.predict.tta)}},
        inputs=(prepare.artifact(layout), split.artifact(layout), trained(layout, fold)),
        version=2,
        result=results.OutOfFold,
    )


def make(*contexts: Context) -> None:
    """Fill ``data/<dataset>/experiments/<experiment>/fold-K`` for each fold of each experiment."""
    work = [_pending(context) for context in contexts]
    for tasks in work:
        echo(f"train: experiment {tasks[0].experiment}, {fold_names(task.fold for task in tasks)}")
    first = contexts[0]
    executors.train(work, first.jobs, first.cluster, first.kaggle)


def task(layout: Layout, fold: int) -> TrainTask:
    """What it takes to train one fold."""
    return TrainTask(
        root=layout.root,
        experiment=layout.experiment,
        settings=layout.settings,
        fold=fold,
        tiles=prepare.artifact(layout),
        split=split.artifact(layout),
        trained=trained(layout, fold),
        out_of_fold=out_of_fold(layout, fold),
    )


def _pending(context: Context) -> list[TrainTask]:
    """The folds of an experiment that are not done."""
    folders = {artifact.folder for artifact in context.pending(STAGE)}
    tasks = [task(context.layout, fold) for fold in context.folds]
    return [each for each in tasks if each.trained.folder in folders]


STAGE = Stage(
    name="train",
    help="train the folds; a run that was stopped resumes after its last finished epoch",
    artifacts=lambda context: [make(context.layout, fold) for fold in context.folds for make in (trained, out_of_fold)],
    make=make,
    side_by_side=True,
    owns_folder=True,
)
