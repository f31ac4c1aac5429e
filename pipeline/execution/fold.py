"""One fold's work from artifact to artifact: train it, predict its out-of-fold tiles, predict the test tiles.

The schedulers (``pipeline.execution.local``, ``pipeline.execution.ray``) call these functions, in this process, in
another one or on another machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import artifacts
from pipeline.artifacts import Artifact, Freshness, remove_backup
from pipeline.config import Settings, UserError
from pipeline.data import tiles as tiles_store
from pipeline.data.exclusion import excluded
from pipeline.data.folds import fold_of_tiles
from pipeline.data.tiles import Tiles
from pipeline.execution.memory import explaining_full_memory
from pipeline.execution.task import PredictTask, TrainTask
from pipeline.prediction import CHUNK
from pipeline.prediction.load import load_predictor
from pipeline.scoring import metric, thresholding
from pipeline.system import atomic
from pipeline.system.progress import FoldCallback
from pipeline.training.fit import fit_fold
from pipeline.training.fold import FoldData, FoldRun, LabelledTiles, UnlabelledTiles


def train_fold(task: TrainTask, callback: FoldCallback | None = None) -> None:
    """Train one fold and leave its weights, history and manifest."""
    artifact = task.trained
    started = time.monotonic()
    tiles = tiles_store.load(task.tiles.folder)
    fold_of_tile = fold_of_tiles(task.split.folder)
    with artifacts.updating(artifact, invalidate_first=False) as folder:
        if Freshness().state(artifact).done:  # another process has trained it since the caller looked
            return
        seen = artifacts.inputs_now(artifact)
        if missing := [each.label for each in artifact.inputs if each.label not in seen]:
            raise UserError(f"{artifact.name}: {missing[0]} is being made again by another command; run this one again")
        data = fold_data(task.settings, task.fold, tiles, fold_of_tile, [each.path for each in task.labels])
        run = FoldRun(
            task.settings,
            task.fold,
            folder,
            identity=artifacts.inputs_fingerprint(artifact),
            callback=callback or FoldCallback(),
            before_overwrite=partial(artifacts.invalidate, artifact, seen),
            pretrained=None if task.pretrained is None else task.pretrained.path,
        )
        with explaining_full_memory(task, "train"):
            result = fit_fold(run, data)
        artifacts.commit(artifact, result, started, seen=seen)
        remove_backup(artifact)


def fold_data(
    settings: Settings, fold: int, tiles: Tiles, fold_of_tile: np.ndarray, labels: Sequence[Path] = ()
) -> FoldData:
    """The tiles of one fold: trained on are those of the other folds, without those of ``train.exclude``.

    Args:
        settings: of the experiment.
        fold: number of the fold.
        tiles: of the dataset.
        fold_of_tile: (n,) int, of each labelled tile.
        labels: files of the teachers' probabilities of the test tiles, for a student.

    Raises:
        UserError: no tile is left to train on.
    """
    training = np.flatnonzero((fold_of_tile != fold) & ~excluded(tiles.train, settings.train.exclude))
    if not len(training):
        raise UserError(f"train.exclude leaves no tile to train fold {fold} on; set train.exclude=[]")
    return FoldData(
        LabelledTiles(tiles.train_images, tiles.train_masks, _depths(settings, tiles.train)),
        training=training,
        validation=np.flatnonzero(fold_of_tile == fold),
        unlabelled=UnlabelledTiles(
            tiles.test_images,
            _depths(settings, tiles.test),
            tuple(np.load(path, mmap_mode="r", allow_pickle=False) for path in labels),
        ),
    )


def predict_out_of_fold(task: TrainTask) -> None:
    """Predict the tiles that a fold's network did not see, and leave probabilities and metrics.

    ``oof.npy`` is (v, 101, 101) uint8 in the order of the fold's rows in ``folds.csv``; v stands for v / 255.
    """
    artifact = task.out_of_fold
    started = time.monotonic()
    tiles = tiles_store.load(task.tiles.folder)
    fold_of_tile = fold_of_tiles(task.split.folder)
    rows = np.flatnonzero(fold_of_tile == task.fold)
    truth = tiles.train_masks[rows]
    with artifacts.updating(artifact, invalidate_first=False) as folder:
        seen = artifacts.inputs_now(artifact)
        # Training may have been killed right after its manifest.
        remove_backup(task.trained)
        answer = load_predictor(task.settings, *task.trained.paths)
        depths = _depths(task.settings, tiles.train.iloc[rows])
        with explaining_full_memory(task, "predict"):
            found = answer(
                tiles.train_images[rows], np.empty(truth.shape, np.uint8), task.settings.predict.tta, depths=depths
            )
        artifacts.invalidate(artifact, seen)
        atomic.write_array(folder / "oof.npy", found)
        masks = thresholding.apply(found, 0.5, 0)
        areas, true_areas = masks.sum(axis=(1, 2)), truth.sum(axis=(1, 2))
        result = {
            "tiles": len(rows),
            "score_at_half": float(metric.score(masks, truth)),
            "iou": float(metric.iou(masks, truth).mean()),
            "empty_accuracy": float(metric.empty_accuracy(areas, true_areas)),
        }
        atomic.write_text(folder / "metrics.json", json.dumps(result, indent=2) + "\n")
        artifacts.commit(artifact, result, started, seen=seen)


def predict_test(task: PredictTask, progress: Callable[[int], None] | None = None) -> None:
    """Predict the test tiles with one fold's network, streamed to disk.

    ``fold-K.npy`` is (n, 101, 101) uint8 in the order of the sample submission; v stands for v / 255.
    """
    artifact = task.predicted
    started = time.monotonic()
    tiles = tiles_store.load(task.tiles.folder)
    with artifacts.updating(artifact, invalidate_first=False) as folder:
        if Freshness().state(artifact).done:  # another process has made it while this one waited for the lock
            return
        seen = artifacts.inputs_now(artifact)
        answer = load_predictor(task.settings, *task.trained.paths)
        artifacts.invalidate(artifact)
        with atomic.writing(folder / artifact.outputs[0]) as path:
            out = atomic.mapped(path, tiles.test_images.shape)
            with explaining_full_memory(task, "predict"):
                answer(tiles.test_images, out, task.settings.predict.tta, progress, _depths(task.settings, tiles.test))
            out.flush()
            del out
        task.remove_parts()  # before the manifest: after it nothing would come back for them
        artifacts.commit(artifact, {"tiles": len(tiles.test_images)}, started, seen=seen)


def predict_test_parts(
    task: PredictTask, starts: Sequence[int], freshness: Freshness, made: Callable[[Artifact, int], None]
) -> None:
    """Predict some chunks of the test tiles with one fold's network, each its own artifact.

    Args:
        task: the fold.
        starts: first tiles of the chunks, multiples of ``CHUNK``, so that batches hold the tiles that they
            hold when one process predicts all; a chunk that is done is left as it is.
        freshness: what is done.
        made: called with each chunk's artifact and its number of tiles.
    """
    tiles = tiles_store.load(task.tiles.folder)
    seen = artifacts.inputs_now(task.predicted)
    answer = load_predictor(task.settings, *task.trained.paths)
    for start in starts:
        artifact = task.part(start)
        images = tiles.test_images[start : start + CHUNK]
        if not freshness.state(artifact).done:
            started = time.monotonic()
            artifacts.invalidate(artifact, seen)
            depths = _depths(task.settings, tiles.test.iloc[start : start + CHUNK])
            with explaining_full_memory(task, "predict"):
                found = answer(images, np.empty(images.shape, np.uint8), task.settings.predict.tta, depths=depths)
            atomic.write_array(artifact.folder / artifact.outputs[0], found)
            artifacts.commit(artifact, {"tiles": len(images)}, started, seen=seen)
        made(artifact, len(images))


def _depths(settings: Settings, table: pd.DataFrame) -> np.ndarray | None:
    """Depths of a table's tiles in feet, (n,) float32, where the network sees them."""
    return table["depth"].to_numpy(np.float32) if settings.input.channels == "depth" else None
