"""How long a training will take: from folds of the experiment that are trained here, or from its file's header."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline import config
from pipeline.artifacts import Manifest, changed_settings
from pipeline.config import differences
from pipeline.config.experiment_files import header
from pipeline.stages import Context, prepare, split, train
from pipeline.system import backends
from pipeline.system.progress import fold_names

HEADER_TILES = 2400
"""Tiles of a fold's training when the costs in the headers were measured."""
HEADER_CORES = 2
"""Cores on which they were measured; more of them take less time, but not in proportion."""
EFFICIENCY = 0.88
"""Share of these cores that a training keeps busy."""
FLOAT32_COST = 2.2
"""Core time of a step in float32 over that in bfloat16, on a processor with units for it (``part-float32``)."""
_NETWORK = ("input", "network")
_STEP = ("input", "network", "augment", "train.batch_size", "train.precision")
"""Sections and settings that change what one epoch takes."""


@dataclass(frozen=True)
class Estimate:
    """Of the training of some folds, one after the other."""

    seconds: float
    source: str
    """What the estimate is made from, in words."""


def estimate(context: Context, folds: int, precision: str, gpu: bool) -> Estimate | None:
    """Estimate the time that a number of folds takes, one after the other.

    Args:
        context: of the experiment.
        folds: how many are to be trained.
        precision: ``float32`` or ``bfloat16``.
        gpu: whether a GPU is used, for which headers state no cost.

    Returns:
        None where nothing is known about such a training.
    """
    if own := [(fold, seconds) for fold in context.layout.folds if (seconds := _epoch_here(context, fold))]:
        epoch = statistics.median(seconds for _, seconds in own)
        source = f"{fold_names(fold for fold, _ in own)} trained here"
    elif (epoch := 0.0 if gpu else _epoch_of_header(context, precision)) > 0:
        source = f"the measurement in {config.experiment_path(context.layout.experiment).name}, on {HEADER_CORES} cores"
    else:
        return None
    return Estimate(folds * context.layout.settings.train.epochs * epoch, source)


def parameters(context: Context) -> int | None:
    """Number of parameters, where a fold with this network was trained here; otherwise None."""
    for fold in context.layout.folds:
        manifest = _comparable(context, fold, _NETWORK)
        if manifest is not None:
            return int(manifest.result["parameters"])
    return None


def training_tiles(context: Context) -> float:
    """Tiles that one fold trains on; 0 before the tiles are prepared."""
    prepared = context.freshness.manifest(prepare.artifact(context.layout))
    count = len(context.layout.folds)
    return prepared.result["train"] * (count - 1) / count if prepared is not None else 0.0


def _comparable(context: Context, fold: int, relevant: tuple[str, ...]) -> Manifest | None:
    """The manifest of a fold's last training, if none of the relevant settings has changed since."""
    artifact = train.trained(context.layout, fold)
    manifest = context.freshness.manifest(artifact)
    if manifest is None or _concerns(changed_settings(artifact, manifest), relevant):
        return None
    return manifest


def _concerns(changed: Iterable[str], relevant: tuple[str, ...]) -> bool:
    return any(key == each or key.startswith(f"{each}.") for key in changed for each in relevant)


def _epoch_here(context: Context, fold: int) -> float:
    """Seconds that an epoch of a fold took here; 0 where it says nothing about a training with the settings of now."""
    manifest = _comparable(context, fold, _STEP)
    if manifest is None or manifest.result["backend"] != backends.selected():
        return 0.0
    result, layout = manifest.result, context.layout
    inputs = [prepare.artifact(layout), split.artifact(layout)]
    now = {each.label: found.fingerprint for each in inputs if (found := context.freshness.manifest(each))}
    if manifest.inputs == now:
        return float(result["seconds"]) / max(result["epochs"], 1)
    return training_tiles(context) / result["tiles_per_second"] if result["tiles_per_second"] > 0 else 0.0


def _epoch_of_header(context: Context, precision: str) -> float:
    """Seconds of an epoch on two cores by the header of the experiment's file; 0 where it states no cost."""
    layout = context.layout
    changed = differences(layout.settings, config.load(layout.experiment))
    text = header(layout.experiment)
    cost = re.search(r"([\d.]+) core-minutes in (bfloat16|float32)", text)
    epochs = re.search(r"Measured on fold \d+[^:]*, (\d+) epochs", text)
    if cost is None or epochs is None or _concerns(changed, _STEP) or backends.selected() != "tensorflow":
        return 0.0
    factor = FLOAT32_COST if (precision, cost[2]) == ("float32", "bfloat16") else 1.0
    core_seconds = 60 * float(cost[1]) * factor / int(epochs[1])
    return core_seconds * training_tiles(context) / HEADER_TILES / (HEADER_CORES * EFFICIENCY)
