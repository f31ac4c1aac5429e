"""The epochs of a fold: which weights are kept, when it stops, and its averages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.config import UserError, load
from pipeline.network.averaging import arrays_of
from pipeline.network.optimizers import average_variables
from pipeline.prediction.load import load_network, load_predictor
from pipeline.scoring import metric, thresholding
from pipeline.training import loop
from pipeline.training.epoch import train_one_epoch
from tests.training.helpers import SMALL, TILES, VALIDATION, history, train_fold, weights

pytestmark = pytest.mark.backends


def test_a_loss_that_is_not_finite_stops_the_fold_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loop, "train_one_epoch", lambda *arguments: math.nan)
    wanted = r"fold 0, epoch 1: the loss or a weight is not finite\. .*train\.learning_rate=0\.0033"
    with pytest.raises(UserError, match=wanted) as error:
        train_fold(tmp_path)
    assert "\n" not in str(error.value)
    assert not [*tmp_path.rglob("*.npz")]


class Steps:
    """Batches of one sample with these targets."""

    def __init__(self, *targets: float) -> None:
        self._targets = targets

    def __len__(self) -> int:
        return len(self._targets)

    def ahead(self) -> Iterator[tuple[np.ndarray, ...]]:
        for target in self._targets:
            yield np.ones((1, 2), np.float32), np.full((1, 1), target, np.float32)


@pytest.mark.parametrize(
    ("targets", "learning_rate", "finite"),
    [
        pytest.param((1.0, 1.0, 1.0), 0.01, True, id="finite"),
        pytest.param((1.0, math.nan, 1.0), 0.01, False, id="one step's loss"),
        # The only step's loss is finite, but its weights overflow.
        pytest.param((1e9,), 1e38, False, id="the last step's weights"),
    ],
)
def test_the_loss_of_an_epoch_is_finite_if_all_steps_and_weights_are(
    targets: tuple[float, ...], learning_rate: float, finite: bool
):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(learning_rate), loss="mse", run_eagerly=True)
    assert math.isfinite(train_one_epoch(model, Steps(*targets), 0)) == finite


# ---- Which epoch is kept, and when it stops --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A training whose scores are set: the second and third epoch are best, and the last is neither best nor worst.

    Its result, the real scores, and the network's weights after each epoch.
    """
    folder, given = tmp_path_factory.mktemp("plain"), chain([0.2, 0.6, 0.6, 0.4], repeat(0.4))
    scores, after = list[float](), list[list[np.ndarray]]()
    score = metric.score

    def trained(model: keras.Model, *arguments: Any) -> float:
        loss = train_one_epoch(model, *arguments)
        after.append([np.asarray(weight) for weight in model.get_weights()])
        return loss

    def scored(*arguments: Any) -> float:
        scores.append(score(*arguments))
        return next(given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_one_epoch", trained)
        patch.setattr(metric, "score", scored)
        result = train_fold(folder, "train.schedule=constant", "train.epochs=30", "train.early_stopping=2")
    return SimpleNamespace(folder=folder, result=result, scores=scores, after=after)


def test_early_stopping_ends_after_the_patience(plain: SimpleNamespace):
    assert plain.result["epochs"] == plain.result["best_epoch"] + 2
    assert len(plain.after) == plain.result["epochs"]


def test_the_weights_of_the_first_of_the_best_epochs_are_kept(plain: SimpleNamespace):
    result = plain.result
    assert (result["best_epoch"], result["score"], result["kept_epochs"]) == (2, 0.6, [2])
    assert [float(row["score"]) for row in history(plain.folder)] == [0.2, 0.6, 0.6, 0.4]
    model, _ = load_network(load("unet", SMALL), plain.folder / "best.weights.h5")
    kept = model.get_weights()
    same = [all(map(np.array_equal, kept, each)) for each in plain.after]
    assert same == [False, True, False, False]


def test_the_best_of_each_of_the_last_cycles_is_kept_and_their_probabilities_are_averaged(tmp_path: Path):
    chosen = ["train.schedule=cosine_restarts", "train.epochs=6", "train.cycles=3", "train.snapshots=2"]
    (tmp_path / "best.weights.h5").write_bytes(b"of a run without snapshots")
    result = train_fold(tmp_path, *chosen)
    files = ["best-of-cycle-2.weights.h5", "best-of-cycle-3.weights.h5"]
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == files
    scores = [float(row["score"]) for row in history(tmp_path)]
    best = [2 + int(np.argmax(scores[2:4])), 4 + int(np.argmax(scores[4:6]))]
    assert result["kept_epochs"] == [epoch + 1 for epoch in best]
    settings = load("unet", [*SMALL, *chosen])
    images, masks = TILES.images[VALIDATION], TILES.masks[VALIDATION]
    paths = [tmp_path / name for name in files]
    found = []
    for path, epoch in zip(paths, best, strict=True):
        found.append(load_predictor(settings, path)(images, np.empty(images.shape, np.uint8), ["plain"]))
        assert metric.score(thresholding.apply(found[-1], 0.5, 0), masks) == pytest.approx(scores[epoch], abs=1e-3)
    assert not np.array_equal(found[0], found[1])
    progress: list[int] = []
    ensemble = load_predictor(load("unet", [*SMALL, *chosen, "predict.batch_size=5"]), *paths)
    together = ensemble(images, np.empty(images.shape, np.uint8), ["plain"], progress.append)
    assert np.abs(together - np.mean(found, axis=0)).max() <= 1  # each of the two is rounded
    assert progress == sorted(progress)
    assert progress[-1] == 12


# ---- Averages -------------------------------------------------------------------------------------------------------


def test_the_mean_over_epochs_is_scored_and_the_training_is_unchanged(plain: SimpleNamespace, tmp_path: Path):
    train_fold(tmp_path, "train.schedule=constant", "train.epochs=3", "train.swa_start=0.3")
    raw, average = history(plain.folder)[:3], history(tmp_path)
    for row, score in zip(raw, plain.scores, strict=False):
        row["score"] = str(round(score, 6))
    assert [row["loss"] for row in raw] == [row["loss"] for row in average]
    assert raw[0] == average[0]
    assert [row["score"] for row in raw[2:]] != [row["score"] for row in average[2:]]


AVERAGED = ("train.ema_momentum=0.7", "network.norm=batch", "train.epochs=2", "train.keep=last")


@pytest.fixture(scope="module")
def with_raw_statistics(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A training with averaged weights; the trained weights and their averages at its end."""
    folder, found = tmp_path_factory.mktemp("raw"), SimpleNamespace()

    def recorded(model: keras.Model, *arguments: Any) -> float:
        loss = train_one_epoch(model, *arguments)
        found.raw, found.average = arrays_of(model.trainable_variables), arrays_of(average_variables(model))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_one_epoch", recorded)
        train_fold(folder, *AVERAGED)
    found.folder = folder
    return found


def test_the_moving_average_of_the_weights_is_kept(with_raw_statistics: SimpleNamespace):
    folder, raw, average = (getattr(with_raw_statistics, name) for name in ("folder", "raw", "average"))
    assert not any(name.startswith("optimizer") for name in weights(folder, "last.weights.h5"))
    model, _ = load_network(load("unet", [*SMALL, *AVERAGED]), folder / "last.weights.h5")
    kept = arrays_of(model.trainable_variables)
    assert all(map(np.array_equal, kept, average))
    assert not any(map(np.array_equal, kept, raw))
    assert len(kept) == len(average) == len(raw)


@pytest.mark.parametrize("statistics", ["averaged", "recomputed"])
def test_other_statistics_of_the_averaged_weights_leave_the_training_unchanged(
    with_raw_statistics: SimpleNamespace, tmp_path: Path, statistics: str
):
    folder = with_raw_statistics.folder
    train_fold(tmp_path, *AVERAGED, f"train.ema_statistics={statistics}")
    assert [row["loss"] for row in history(folder)] == [row["loss"] for row in history(tmp_path)]
    raw, other = (weights(each, "last.weights.h5") for each in (folder, tmp_path))
    changed = [name for name in raw if not np.array_equal(raw[name], other[name])]
    assert {name.rpartition("/")[2] for name in changed} == {"2", "3"}  # the mean and the variance of each norm


# ---- The loss of each epoch -----------------------------------------------------------------------------------------


def test_the_late_loss_replaces_the_loss_after_its_share_of_the_epochs():
    train = load(
        "unet", ["train.epochs=4", "train.loss=bce", "train.late_loss=lovasz", "train.late_loss_start=0.3"]
    ).train
    assert [loop.loss_of_epoch(train, epoch) for epoch in range(4)] == ["bce", "bce", "lovasz", "lovasz"]
    train = load("unet", ["train.epochs=4", "train.loss=bce", "train.late_loss="]).train
    assert [loop.loss_of_epoch(train, epoch) for epoch in range(4)] == ["bce"] * 4
