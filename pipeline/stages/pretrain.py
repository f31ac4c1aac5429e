"""Pretrain the network without labels: once for all folds, and for all experiments with the same input and network."""

from __future__ import annotations

from typing import Any

from pipeline.artifacts import Artifact, Layout, results
from pipeline.config import fingerprint, stored
from pipeline.execution import pretraining
from pipeline.execution.task import PretrainTask
from pipeline.stages import prepare
from pipeline.stages.stage import Context, Stage
from pipeline.training.files import HISTORY, PRETRAINED


def artifact(layout: Layout) -> Artifact:
    """The weights of the pretrained network. Each combination of settings has its own folder."""
    settings = _settings(layout)
    return Artifact(
        name="pretrain",
        stage="pretrain",
        folder=layout.pretrained_folder(fingerprint(settings)),
        manifest_name="manifest.json",
        outputs=(PRETRAINED,),
        extras=(HISTORY,),
        settings=settings,
        inputs=(prepare.artifact(layout),),
        lock_wait=86400.0,
        result=results.Pretrained,
    )


def _settings(layout: Layout) -> dict[str, Any]:
    """The settings that decide the weights; ``pretrain.layers`` only decides what a fold takes of them."""
    found = {name: stored(getattr(layout.settings, name)) for name in ("input", "network", "pretrain")}
    found["pretrain"].pop("layers", None)
    return {**found, "train": {"precision": layout.settings.train.precision}}


def is_used(layout: Layout) -> bool:
    """Whether the folds start from the pretrained network."""
    return layout.settings.train.pretrain == "masked"


def make(context: Context) -> None:
    """Fill ``data/<dataset>/pretrained/<fingerprint>``."""
    layout = context.layout
    task = PretrainTask(layout.settings, prepare.artifact(layout), artifact(layout))
    # The processes of the folds need the memory of the GPU, which a framework in this process would keep.
    pretraining.pretrain(task, own_process=context.jobs > 1 or context.cluster is not None)


STAGE = Stage(
    name="pretrain",
    help="pretrain the network without labels (only by this command, or with train.pretrain = masked)",
    artifacts=lambda context: [artifact(context.layout)] if is_wanted(context) else [],
    make=make,
    owns_folder=True,
)


def is_wanted(context: Context) -> bool:
    """Whether a command needs the pretrained network: it names the stage, or the folds start from it."""
    return context.asked == STAGE.name or is_used(context.layout)
