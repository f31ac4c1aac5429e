"""A fold that is trained in seconds, and what to compare of its results."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from pipeline.config import load
from pipeline.system.progress import Epoch, FoldCallback
from pipeline.training.fit import fit_fold
from pipeline.training.fold import FoldData, FoldRun, LabelledTiles, UnlabelledTiles
from tests.conftest import blobs
from tests.prediction.helpers import SMALL as NETWORK

SMALL = [
    *NETWORK,
    "input.fit=resize",
    "input.size=32",
    "network.stem=none",
    "network.dropout_kind=element",
    "train.late_loss=",
    "train.ema_momentum=0",
    "train.epochs=4",
    "train.batch_size=8",
    "train.learning_rate=0.01",
]
"""Settings of a fold that is trained in seconds, on tiles reduced to 32 pixels."""
TILES = LabelledTiles(*blobs(40))
TRAINING, VALIDATION = np.arange(28), np.arange(28, 40)
STEPS = 3
"""Steps of an epoch."""
DATA = FoldData(TILES, TRAINING, VALIDATION, UnlabelledTiles(blobs(30, seed=5)[0]))
STUDENT = 'student.teachers=["unet"]'
"""Setting of a student of ``LABELLED``."""
LABELLED = replace(
    DATA,
    unlabelled=UnlabelledTiles(
        blobs(30, seed=5)[0], None, (np.where(blobs(30, seed=5)[1] > 0, 230, 26).astype(np.uint8),)
    ),
)
"""``DATA`` with labels of its test tiles: probabilities of 0.9 where there is salt, and of 0.1 elsewhere."""


def train_fold(
    folder: Path,
    *assignments: str,
    callback: FoldCallback | None = None,
    identity: str = "x",
    before_overwrite: Callable[[], object] = lambda: None,
    data: FoldData = DATA,
) -> dict[str, Any]:
    """Train fold 0 of ``data`` with the settings ``SMALL`` and some others."""
    settings = load("unet", [*SMALL, *assignments])
    return fit_fold(FoldRun(settings, 0, folder, identity, callback or FoldCallback(), before_overwrite), data)


# ---- Callbacks ------------------------------------------------------------------------------------------------------


class KilledError(Exception):
    """Raised in place of a killed process."""


class Killer(FoldCallback):
    """Ends the run at a step of an epoch, counted from 0, or after so many saved epochs if ``step`` is None."""

    def __init__(self, epoch: int, step: int | None) -> None:
        self._at = (epoch, step)
        self.resumed_after: int | None = None
        self.kept: Path | None = None
        """A state that could not be used."""

    def resumed(self, fold: int, done: int) -> None:
        self.resumed_after = done

    def unusable(self, fold: int, kept: Path) -> None:
        self.kept = kept

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        if (epoch, step) == self._at:
            raise KilledError

    def epoch(self, result: Epoch) -> None:
        if (result.epoch, None) == self._at:
            raise KilledError


def killed(folder: Path, *assignments: str, at: tuple[int, int | None], identity: str = "x") -> int | None:
    """Start a training and kill it; returns after how many epochs it had resumed, or None."""
    killer = Killer(*at)
    with pytest.raises(KilledError):
        train_fold(folder, *assignments, callback=killer, identity=identity)
    return killer.resumed_after


class StepRecorder(FoldCallback):
    """Records (epoch, step, steps) of each step."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        self.calls.append((epoch, step, steps))


# ---- Results --------------------------------------------------------------------------------------------------------


def weights(folder: Path, file: str = "best.weights.h5") -> dict[str, np.ndarray]:
    """The arrays of a file of weights, by name."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(folder / file) as stored:
        stored.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def history(folder: Path) -> list[dict[str, str]]:
    """The rows of ``history.csv``, without the seconds."""
    with (folder / "history.csv").open() as stream:
        kept = ("epoch", "loss", "score", "learning_rate", "pseudo_labels")
        return [{key: row[key] for key in kept if key in row} for row in csv.DictReader(stream)]


def assert_same(one: Path, other: Path) -> None:
    """Assert that two folds have the same weights and history."""
    files = sorted(path.name for path in one.glob("*.weights.h5"))
    assert files == sorted(path.name for path in other.glob("*.weights.h5"))
    for file in files:
        mine, theirs = weights(one, file), weights(other, file)
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=f"{file}: {name}")
    assert history(one) == history(other)


def dense() -> keras.Model:
    """A network of two layers, not compiled."""
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(300), keras.layers.BatchNormalization()])
