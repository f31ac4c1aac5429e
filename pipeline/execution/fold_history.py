"""What is on disk of a fold's training: the history of its epochs, whether it is done, runs or was killed."""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path
from typing import NamedTuple

from pipeline.artifacts import Freshness, backup_folder
from pipeline.artifacts.backup import STATE, saved_history
from pipeline.data.files import TRAIN_TABLE
from pipeline.execution.task import TrainTask
from pipeline.system import disk
from pipeline.training.history import read_history


class FoldHistory(NamedTuple):
    """The epochs of a fold."""

    rows: list[dict[str, float]]
    """As in ``history.csv``; empty where nothing is there, or it cannot be read."""
    trained: bool
    """Whether the fold is trained with its present settings and inputs."""


def fold_history(task: TrainTask) -> FoldHistory:
    """Read a fold's history: of the finished training, otherwise of the backup of one that runs or was killed.

    Raises:
        OSError: the disk failed.
    """
    trained = Freshness().state(task.trained).done
    try:
        read = read_history(task.trained.folder) if trained else saved_history(backup_folder(task.trained))
        return FoldHistory([{name: float(value) for name, value in row.items()} for row in read], trained)
    except Exception as error:  # NumPy raises many kinds for a damaged file; the training itself starts again then
        if disk.failure(error):
            raise
        return FoldHistory([], trained)


def modified(task: TrainTask) -> tuple[int, ...]:
    """When the files that ``fold_history`` reads were written; cheap to ask. Errors as there."""
    times = []
    for path in (task.trained.manifest_path, backup_folder(task.trained) / STATE):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            times.append(path.stat().st_mtime_ns)
    return tuple(times)


def empty_share(tiles: Path) -> float | None:
    """The share of tiles without salt, which is the score of predicting nothing; None where it is unknown.

    Args:
        tiles: folder of the stage ``prepare``.

    Raises:
        OSError: the table cannot be read.
    """
    try:
        with (tiles / TRAIN_TABLE).open(encoding="utf-8") as stream:
            empty = [float(row["coverage"]) == 0 for row in csv.DictReader(stream)]
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return sum(empty) / len(empty) if empty else None
