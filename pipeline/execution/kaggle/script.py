"""The one source file of a kernel: the text of ``kernel``, its job, and the package in a text."""

from __future__ import annotations

import base64
import json
import lzma
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.artifacts import Freshness
from pipeline.config import EXPERIMENTS, KaggleSettings, UserError, experiment_path, to_toml
from pipeline.config.datasets import Source, dataset
from pipeline.config.schema.kaggle import NO_ACCELERATOR
from pipeline.data.sources.kaggle import COMPETITION
from pipeline.execution.kaggle.dependencies import kernel_requirements
from pipeline.execution.kaggle.names import MOST_FOLDS, training_of
from pipeline.execution.kaggle.wheel import make_wheel, wheel_name, zipped
from pipeline.execution.task import TrainTask
from pipeline.system.backends import selected

SECONDS = 11 * 3600
"""Seconds after which a kernel stops training. Kaggle ends it after 12 hours, and what it has left may be lost."""
LARGEST = 1_000_000
"""Most bytes of a script; the limit of Kaggle's editor is about one MiB."""
WIDTH = 120
"""Letters of a line of the package's text."""


def make_script(tasks: Sequence[TrainTask], sources: Sequence[str], place: KaggleSettings, wheels: str = "") -> str:
    """The source of a kernel.

    The package travels inside the script, not as a dataset: one request then pushes all of it or nothing, no dataset
    has to be made, waited for and removed, and each version of a kernel shows what it ran.

    Args:
        tasks: folds of one experiment.
        sources: slugs of earlier kernels that are mounted.
        place: GPU and internet.
        wheels: slug of the dataset with wheels of the dependencies, which is mounted.

    Raises:
        UserError: the script is too large for Kaggle.
    """
    first = tasks[0]
    split = first.split
    files = {wheel_name(): _compressed_wheel(), "settings.toml": to_toml(first.settings).encode()}
    for name in (*split.outputs, split.manifest_name):
        path = split.folder / name
        files[path.relative_to(first.root).as_posix()] = path.read_bytes()
    payload = base64.b85encode(zipped(files, zipfile.ZIP_DEFLATED)).decode()
    source = Path(__file__).with_name("kernel.py").read_text(encoding="utf-8")
    job = json.dumps(make_job(tasks, sources, place, wheels))
    text = "\n".join(payload[start : start + WIDTH] for start in range(0, len(payload), WIDTH))
    # json.loads, because JSON's true is no Python; base 85 has neither quotation marks nor backslashes.
    script = f'{source}\n\nmain(json.loads({job!r}), """\n{text}\n""")\n'
    if len(script) > LARGEST:
        raise UserError(
            f"the script for Kaggle has {len(script):,} bytes, and may have {LARGEST:,}: is there a large file in "
            f"{EXPERIMENTS.parent}?"
        )
    return script


def make_job(
    tasks: Sequence[TrainTask], sources: Sequence[str], place: KaggleSettings, wheels: str = ""
) -> dict[str, Any]:
    """What a kernel is to do; arguments as in ``make_script``."""
    first, freshness = tasks[0], Freshness()
    training = training_of(first)
    inputs = {
        each.name: (each.manifest_path.relative_to(first.root).as_posix(), found.fingerprint)
        for each in (first.tiles, first.split)
        if (found := freshness.manifest(each))
    }
    mounted = dataset(training.dataset).source is not Source.SURVEY
    return {
        "dataset": training.dataset,
        "experiment": first.experiment,
        "settings": f"pipeline/experiments/{experiment_path(first.experiment).relative_to(EXPERIMENTS).as_posix()}",
        "folds": [task.fold for task in tasks],
        "inputs": inputs,
        "competition": COMPETITION if mounted else "",
        "sources": list(sources),
        "wheel": wheel_name(),
        "wheels": wheels,
        "requirements": kernel_requirements(),
        "environment": {
            "KERAS_BACKEND": selected(),
            "NO_ALBUMENTATIONS_UPDATE": "1",
        },
        "gpu": place.accelerator != NO_ACCELERATOR,
        "seconds": SECONDS,
    }


def check_inputs(task: TrainTask, place: KaggleSettings) -> None:
    """Refuse a training whose initial weights or labels a kernel cannot get, or whose kernel could not be found again.

    Raises:
        UserError: they are on this machine, or there is no internet to download them; or the fold's number is too high.
    """
    if task.labels:
        names = ", ".join(task.settings.student.teachers)
        raise UserError(
            f"experiment {task.experiment} is trained on test tiles that {names} has labelled on this machine, not at "
            "Kaggle; train here or on Ray (leave EXECUTOR=kaggle out), or set student.teachers=[]"
        )
    if task.fold >= MOST_FOLDS:
        raise UserError(
            f"fold {task.fold}: the names of kernels have room for {MOST_FOLDS} folds, 0 to {MOST_FOLDS - 1}; "
            "train here or on Ray (leave EXECUTOR=kaggle out), or set a smaller split.folds"
        )
    if task.settings.train.pretrain != "none":
        raise UserError(
            f"train.pretrain = {task.settings.train.pretrain}: the pretrained weights are on this machine, not at "
            "Kaggle; train here or on Ray (leave EXECUTOR=kaggle out), or set train.pretrain=none"
        )
    weights = task.settings.network.weights
    if weights not in ("none", "imagenet"):
        raise UserError(
            f"network.weights = {weights}: this file is not at Kaggle; train here, or take imagenet or none"
        )
    if weights == "imagenet" and not place.internet:
        raise UserError(
            "network.weights = imagenet are downloaded at Kaggle, which needs internet there: leave NO_INTERNET out"
        )


@cache
def _compressed_wheel() -> bytes:
    # As a whole: a zip compresses each of its small files alone, to twice the size.
    return lzma.compress(make_wheel())
