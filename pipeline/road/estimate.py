"""How long a training will take.

It is estimated from folds that are trained here, of this experiment or of another with the same steps, or from what was
measured according to the header of the experiment's file or of its base's.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline import config
from pipeline.artifacts import Artifact, Manifest, changed_settings
from pipeline.config import differences
from pipeline.config.experiment_files import header, lineage
from pipeline.stages import Context, prepare, pretrain, split, train
from pipeline.system import backends, machine
from pipeline.system.progress import fold_names

HEADER_TILES = 2400
"""Tiles of a fold's training when the costs in the headers were measured."""
HEADER_CORES = 2
"""Cores on which they were measured; more of them take less time, but not in proportion."""
EFFICIENCY = 0.88
"""Share of these cores that a training keeps busy."""
FLOAT32_COST = 2.2
"""Core time of a step in float32 over that in bfloat16, on a processor with units for it (``part-float32``)."""
AVX2_COST = 4.4
"""Core time of a step in float32 on a processor with AVX2 alone over that in bfloat16 on one with units for it.

``unet`` trains 13.0 tiles per second on two cores of an AMD EPYC, 57.3 on two of an Intel Xeon
(``benchmarks/RESULTS.md``).
"""
PRETRAINING_COST = 0.8
"""Time of a view in pretraining over that of a tile in training.

0.7 with ``unet-quick`` (float32: 44.6 core-minutes for 64,000 views, 33.9 for 14 epochs of 2,400 tiles) and 0.9 with
``demo``.
"""
_NETWORK = ("input", "network")
_STEP = ("input", "network", "augment", "train.batch_size", "train.precision")
"""Sections and settings that change what one epoch takes."""


@dataclass(frozen=True)
class Estimate:
    """Of the training of some folds, one after the other."""

    seconds: float
    source: str
    """What the estimate is made from, in words."""
    pretraining: float = 0.0
    """Seconds of the pretraining that comes first; 0 where there is none, or it is done."""


def estimate(context: Context, folds: int, precision: str, gpu: bool) -> Estimate | None:
    """Estimate the time that a number of folds takes, one after the other.

    Args:
        context: of the experiment.
        folds: how many are to be trained.
        precision: of the training: ``float32``, ``bfloat16`` or ``float16``.
        gpu: whether a GPU is used, for which headers state no cost.

    Returns:
        None where nothing is known about such a training.
    """
    layout = context.layout
    found = _trained_here(context, precision) or (None if gpu else _of_headers(context, precision))
    if found is None:
        return None
    epoch, source = found
    tiles, pretraining = training_tiles(context), 0.0
    if tiles and pretrain.is_used(layout) and not context.freshness.state(pretrain.artifact(layout)).done:
        pretraining = layout.settings.pretrain.views * PRETRAINING_COST * epoch / tiles
    return Estimate(folds * layout.settings.train.epochs * epoch, source, pretraining)


def parameters(context: Context) -> int | None:
    """Number of parameters, where a fold with this network was trained here; otherwise None."""
    for fold in context.layout.folds:
        manifest = _comparable(context, train.trained(context.layout, fold), _NETWORK)
        if manifest is not None:
            return int(manifest.result["parameters"])
    return None


def training_tiles(context: Context) -> float:
    """Tiles that one fold trains on; 0 before the tiles are prepared."""
    prepared = context.freshness.manifest(prepare.artifact(context.layout))
    count = len(context.layout.folds)
    return prepared.result["train"] * (count - 1) / count if prepared is not None else 0.0


def _comparable(context: Context, artifact: Artifact, relevant: tuple[str, ...]) -> Manifest | None:
    """The manifest of a fold's last training, if it had the same relevant settings."""
    manifest = context.freshness.manifest(artifact)
    if manifest is None or _concerns(changed_settings(artifact, manifest), relevant):
        return None
    return manifest


def _concerns(changed: Iterable[str], relevant: tuple[str, ...]) -> bool:
    return any(key == each or key.startswith(f"{each}.") for key in changed for each in relevant)


def _trained_here(context: Context, precision: str) -> tuple[float, str] | None:
    """Seconds of an epoch by the folds that are trained here, and which they are; the experiment's own come first."""
    layout = context.layout
    trained = {fold: train.trained(layout, fold) for fold in layout.folds}
    others = sorted(path for path in layout.experiments_folder.glob("*") if path != layout.experiment_folder)
    for folder in (layout.experiment_folder, *others):
        there = {fold: replace(each, folder=folder / each.folder.name) for fold, each in trained.items()}
        times = {fold: _epoch_here(context, each, precision) for fold, each in there.items()}
        if found := {fold: seconds for fold, seconds in times.items() if seconds}:
            of_which = "" if folder == layout.experiment_folder else f" of {folder.name}"
            return statistics.median(found.values()), f"{fold_names(found)}{of_which} trained here"
    return None


def _epoch_here(context: Context, artifact: Artifact, precision: str) -> float:
    """Seconds that an epoch of a fold took here; 0 where it says nothing about a training with the settings of now."""
    manifest = _comparable(context, artifact, _STEP)
    if manifest is None or manifest.result["backend"] != backends.selected():
        return 0.0
    result = manifest.result
    if result["precision"].removeprefix("mixed_") != precision:
        return 0.0  # as of a fold that was trained on another machine, such as one of Kaggle's
    same = [
        (found := context.freshness.manifest(each)) is not None and manifest.inputs.get(each.label) == found.fingerprint
        for each in (prepare.artifact(context.layout), split.artifact(context.layout))
    ]
    if all(same):
        return float(result["seconds"]) / max(result["epochs"], 1)
    return training_tiles(context) / result["tiles_per_second"] if result["tiles_per_second"] > 0 else 0.0


def _of_headers(context: Context, precision: str) -> tuple[float, str] | None:
    """Seconds of an epoch on two cores by the header of the experiment's file or of its base's, and which file."""
    for path, _ in lineage(context.layout.experiment):
        if (epoch := _epoch_of_header(context, path.stem, precision)) > 0:
            return epoch, f"the measurement in {path.name}, on {HEADER_CORES} cores"
    return None


def _epoch_of_header(context: Context, experiment: str, precision: str) -> float:
    """Seconds of an epoch on two cores by the header of a file; 0 where it states no cost, or of other steps."""
    changed = differences(context.layout.settings, config.load(experiment))
    text = header(experiment)
    cost = re.search(r"([\d.]+) core-minutes in (bfloat16|float32)", text)
    epochs = re.search(r"Measured on folds? \d+[^:]*, (\d+) epochs", text)
    if cost is None or epochs is None or _concerns(changed, _STEP) or backends.selected() != "tensorflow":
        return 0.0
    in_float32 = AVX2_COST if machine.has_avx2_alone() else FLOAT32_COST
    factor = in_float32 if (precision, cost[2]) == ("float32", "bfloat16") else 1.0
    core_seconds = 60 * float(cost[1]) * factor / int(epochs[1])
    return core_seconds * training_tiles(context) / HEADER_TILES / (HEADER_CORES * EFFICIENCY)
