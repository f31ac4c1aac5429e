"""Pretraining from artifact to artifact, on this machine."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.artifacts import remove_backup
from pipeline.config import UserError
from pipeline.execution.backend import load_fold_module
from pipeline.execution.memory import naming_batch_size
from pipeline.execution.messages import unusable_line
from pipeline.execution.task import PretrainTask
from pipeline.execution.workers import terminated_on_error, workers
from pipeline.system import machine
from pipeline.system.progress import PretrainingCallback, Progress, echo, format_duration, short_path


def pretrain(task: PretrainTask, own_process: bool = False) -> None:
    """Pretrain a network and leave its weights, history and manifest.

    Args:
        task: what to pretrain; the caller holds the lock of the artifact.
        own_process: import the framework in a process that ends with the pretraining.

    Raises:
        UserError: the loss is not finite, the memory is full, or the process was killed. What is done is kept.
    """
    started, artifact = time.monotonic(), task.pretrained
    seen = artifacts.inputs_now(artifact)
    artifact.folder.mkdir(parents=True, exist_ok=True)
    result = _fit_in_own_process(task, seen) if own_process else _fit(task, seen)
    artifacts.commit(artifact, result, started, seen=seen)
    remove_backup(artifact)
    echo(
        f"pretrain: {result['views']:,} views of {result['tiles']:,} tiles, loss {result['loss']:.4f}, "
        f"{format_duration(result['seconds'])}; weights in {short_path(artifact.path)}"
    )


def _fit_in_own_process(task: PretrainTask, seen: dict[str, str]) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with workers(context, [machine.Resources(machine.cores())]) as pool, terminated_on_error(pool):
        try:
            return pool.submit(_fit, task, seen).result()
        except BrokenProcessPool as error:
            raise UserError(
                f"pretrain: its process ended with {error}; run the same command again to continue"
            ) from None


def _fit(task: PretrainTask, seen: dict[str, str]) -> dict[str, Any]:
    load_fold_module()  # chooses the backend
    from pipeline.data import tiles as tiles_store
    from pipeline.training.masking import TileImages
    from pipeline.training.pretraining import PretrainingRun, fit_masked

    tiles, artifact = tiles_store.load(task.tiles.folder), task.pretrained
    parts = [
        TileImages(images, table["depth"].to_numpy("float32") if task.settings.input.channels == "depth" else None)
        for images, table in ((tiles.train_images, tiles.train), (tiles.test_images, tiles.test))
    ]
    with _Shown() as shown, naming_batch_size("pretrain", task.settings, "pretrain"):
        run = PretrainingRun(
            task.settings,
            artifact.folder,
            identity=artifacts.inputs_fingerprint(artifact),
            callback=shown,
            before_overwrite=partial(artifacts.invalidate, artifact, seen),
        )
        return fit_masked(run, parts)


class _Shown(PretrainingCallback):
    """Shows a pretraining as a bar, or as lines."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._resumed = 0

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.close()

    def resumed(self, views: int, total: int) -> None:
        self._resumed = views
        echo(f"pretrain: resumes after {views:,} of {total:,} views")

    def unusable(self, kept: Path) -> None:
        echo(unusable_line("pretrain", short_path(kept)))

    def views(self, views: int, total: int) -> None:
        if self._progress is None:
            self._progress = Progress("pretrain", total, "views", done=self._resumed)
        self._progress(views)

    def epoch(self, views: int, total: int, loss: float) -> None:
        if self._progress is None:
            return
        self._progress.note(f"loss {loss:.4f}")
        if not self._progress.drawn:
            left = format_duration(self._progress.remaining())
            echo(f"pretrain  {views:,} of {total:,} views  loss {loss:.4f}  ETA {left}")
