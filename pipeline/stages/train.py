"""Train the folds and predict their out-of-fold tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.artifacts import Artifact, Layout, results, reusable_from
from pipeline.config import stored
from pipeline.execution import executors
from pipeline.execution.task import TrainTask
from pipeline.stages import prepare, pretrain, split
from pipeline.stages.command_line import command_line
from pipeline.stages.stage import Context, Stage
from pipeline.system import backends, machine
from pipeline.system.progress import echo, fold_names
from pipeline.training.files import HISTORY, weight_files

if TYPE_CHECKING:
    from pipeline.execution.progress_page import ProgressPage

PROGRESS = "progress.html"
"""The page of a training that runs, in the experiment's folder."""


def trained(layout: Layout, fold: int) -> Artifact:
    """The trained weights of one fold and their history."""
    sections = ("input", "network", "augment", "train", *(["student"] if layout.teachers else []))
    settings = {name: stored(getattr(layout.settings, name)) for name in sections}
    # The number of threads that prepare batches, and TensorBoard's log, do not change the result.
    del settings["train"]["workers"], settings["train"]["tensorboard"]
    if pretrain.is_used(layout):
        settings["pretrain"] = stored(layout.settings.pretrain)
    return Artifact(
        name=f"train fold {fold}",
        stage="train",
        folder=layout.fold_folder(fold),
        manifest_name="train.json",
        outputs=weight_files(layout.settings.train),
        extras=(HISTORY,),
        settings=settings,
        inputs=(prepare.artifact(layout), split.artifact(layout), *_pretrained(layout), *labels(layout, fold)),
        version=2,
        result=results.Trained,
    )


def _pretrained(layout: Layout) -> list[Artifact]:
    """The network that the folds start from, if there is one."""
    return [pretrain.artifact(layout)] if pretrain.is_used(layout) else []


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


def predicted(layout: Layout, fold: int) -> Artifact:
    """Probabilities of the test tiles from one fold's network.

    The stage ``predict`` makes them. They are declared here because the training of a student reads its teachers'.
    """
    return Artifact(
        name=f"predict fold {fold}",
        stage="predict",
        folder=layout.test_folder,
        manifest_name=f"fold-{fold}.json",
        outputs=(f"fold-{fold}.npy",),
        # The batch size changes the speed, not the probabilities.
        settings={"predict": {"tta": list(layout.settings.predict.tta)}},
        inputs=(prepare.artifact(layout), trained(layout, fold)),
        version=2,
        result=results.Predicted,
    )


def labels(layout: Layout, fold: int) -> list[Artifact]:
    """The labels of the test tiles that a student's fold is trained on: what its teachers have predicted.

    Only with the networks of the same fold: those of other folds have seen this fold's validation tiles.
    """
    return [replace(predicted(teacher, fold), owner=teacher.experiment) for teacher in layout.teachers]


def make(*contexts: Context) -> None:
    """Fill ``data/<dataset>/experiments/<experiment>/fold-K`` for each fold of each experiment."""
    work = [_pending(context) for context in contexts]
    for tasks in work:
        echo(f"train: experiment {tasks[0].experiment}, {fold_names(task.fold for task in tasks)}")
    first = contexts[0]
    # Kernels at Kaggle have a log instead.
    pages = {} if first.kaggle is not None else {each.layout.experiment: _page(each) for each in contexts}
    executors.train(work, pages, first.jobs, first.cluster, first.kaggle)


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
        pretrained=next(iter(_pretrained(layout)), None),
    )


def check(context: Context) -> None:
    """Refuse kernels at Kaggle for folds that need weights or labels which a kernel cannot get.

    Raises:
        UserError: such a fold is not trained yet.
    """
    if context.kaggle is None:
        return
    from pipeline.execution.kaggle.script import check_inputs

    for fold in context.folds:
        each = task(context.layout, fold)
        if not context.freshness.state(each.trained).done and not reusable_from(each.trained):
            check_inputs(each, context.kaggle)


def _page(context: Context) -> ProgressPage:
    """The page that shows the experiment's training while it runs."""
    from pipeline.execution.progress_page import ProgressPage
    from pipeline.reporting.training_page import TrainingRun

    layout = context.layout
    about = TrainingRun(
        experiment=layout.experiment,
        dataset=layout.dataset,
        settings=layout.settings,
        machine=_machine(context),
        command=command_line(context, "train"),
    )
    folds = {fold: task(layout, fold) for fold in layout.folds}
    others = [each for fold, each in folds.items() if fold not in context.folds]
    return ProgressPage(
        layout.experiment_folder / PROGRESS, about, [folds[fold] for fold in context.folds], others, context.jobs
    )


def _machine(context: Context) -> str:
    """What the folds are trained on."""
    backend = backends.selected()
    if context.cluster is not None:
        return f"Ray at {context.cluster.address or 'this machine'}, {backend}"
    cores, gpus = machine.cores(), machine.gpus()
    found = [machine.cpu_name(), f"{cores} core{'s' if cores > 1 else ''}"]
    if gpus:
        found.append(f"{len(gpus)} GPU{'s' if len(gpus) > 1 else ''}")
    return f"{', '.join(found)}, {backend}"


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
    check=check,
    side_by_side=True,
    owns_folder=True,
    leftovers=lambda context: [context.layout.experiment_folder / PROGRESS],
)
