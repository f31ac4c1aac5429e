"""The epochs of a fold: which weights are kept, when it stops, and its averages."""

from __future__ import annotations

from pathlib import Path
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
from tests.training.helpers import SMALL, TILES, VALIDATION, history, train_fold, weights

pytestmark = pytest.mark.backends


def test_a_loss_that_is_not_finite_stops_the_fold_with_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"learning.rate") as error:
        train_fold(
            tmp_path,
            "train.learning_rate=1e6",
            "network.norm=none",
            "network.residual=false",
            "train.optimizer=sgd",
            "train.warmup_epochs=0",
            "train.schedule=constant",
            "train.momentum=0.99",
        )
    assert "\n" not in str(error.value)


def test_early_stopping_ends_after_the_patience(tmp_path: Path):
    # With a learning rate of nearly 0, no epoch is better than the first.
    result = train_fold(
        tmp_path,
        "train.epochs=30",
        "train.early_stopping=2",
        "train.learning_rate=1e-12",
        "train.weight_decay=0",
        "network.norm=none",
    )
    assert result["epochs"] == result["best_epoch"] + 2


def test_the_moving_average_of_the_weights_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    raw, average = [], []
    train_one_epoch = loop.train_one_epoch

    def recorded(model: keras.Model, *arguments: Any) -> float:
        loss = train_one_epoch(model, *arguments)
        raw.extend(arrays_of(model.trainable_variables))
        average.extend(arrays_of(average_variables(model)))
        return loss

    monkeypatch.setattr(loop, "train_one_epoch", recorded)
    train_fold(tmp_path, "train.epochs=1", "train.ema_momentum=0.999")
    assert not any(name.startswith("optimizer") for name in weights(tmp_path))
    model, _ = load_network(load("unet", SMALL), tmp_path / "best.weights.h5")
    kept = arrays_of(model.trainable_variables)
    assert all(map(np.array_equal, kept, average))
    assert not any(map(np.array_equal, kept, raw))
    assert len(kept) == len(average) == len(raw)


def test_the_weights_of_the_first_of_the_best_epochs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The scores are set here: the second and third epoch are best, and the last is neither best nor worst.
    scores, after = iter([0.2, 0.6, 0.6, 0.4]), []
    train_one_epoch = loop.train_one_epoch

    def recorded(model: keras.Model, *arguments: Any) -> float:
        loss = train_one_epoch(model, *arguments)
        after.append([np.asarray(weight) for weight in model.get_weights()])
        return loss

    monkeypatch.setattr(loop, "train_one_epoch", recorded)
    monkeypatch.setattr(metric, "score", lambda *_: next(scores))
    result = train_fold(tmp_path)
    assert (result["best_epoch"], result["score"], result["kept_epochs"]) == (2, 0.6, [2])
    assert [float(row["score"]) for row in history(tmp_path)] == [0.2, 0.6, 0.6, 0.4]
    model, _ = load_network(load("unet", SMALL), tmp_path / "best.weights.h5")
    kept = model.get_weights()
    same = [all(map(np.array_equal, kept, each)) for each in after]
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
    settings = load("unet", [*SMALL, *chosen, "predict.batch_size=5"])
    images, masks = TILES.images[VALIDATION], TILES.masks[VALIDATION]
    paths = [tmp_path / name for name in files]
    found = []
    for path, epoch in zip(paths, best, strict=True):
        predictor = load_predictor(settings, path)
        found.append(predictor(images, np.empty(images.shape, np.uint8)))
        plain = predictor(images, np.empty(images.shape, np.uint8), ["plain"])
        assert metric.score(thresholding.apply(plain, 0.5, 0), masks) == pytest.approx(scores[epoch], abs=1e-3)
    assert not np.array_equal(found[0], found[1])
    progress: list[int] = []
    together = load_predictor(settings, *paths)(images, np.empty(images.shape, np.uint8), progress=progress.append)
    assert np.abs(together - np.mean(found, axis=0)).max() <= 1  # each of the two is rounded
    assert progress == sorted(progress)
    assert progress[-1] == 12


def test_the_mean_over_epochs_is_scored_and_the_training_is_unchanged(tmp_path: Path):
    options = ("train.schedule=constant", "train.epochs=3")
    train_fold(tmp_path / "raw", *options)
    train_fold(tmp_path / "average", *options, "train.swa_start=0.3")
    raw, average = history(tmp_path / "raw"), history(tmp_path / "average")
    assert [row["loss"] for row in raw] == [row["loss"] for row in average]
    assert raw[0] == average[0]
    assert [row["score"] for row in raw[2:]] != [row["score"] for row in average[2:]]


AVERAGED = ("train.ema_momentum=0.7", "network.norm=batch", "train.epochs=2", "train.keep=last")


@pytest.fixture(scope="module")
def with_raw_statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    train_fold(folder, *AVERAGED)
    return folder


@pytest.mark.parametrize("statistics", ["averaged", "recomputed"])
def test_other_statistics_of_the_averaged_weights_leave_the_training_unchanged(
    with_raw_statistics: Path, tmp_path: Path, statistics: str
):
    train_fold(tmp_path, *AVERAGED, f"train.ema_statistics={statistics}")
    assert [row["loss"] for row in history(with_raw_statistics)] == [row["loss"] for row in history(tmp_path)]
    raw, other = (weights(folder, "last.weights.h5") for folder in (with_raw_statistics, tmp_path))
    changed = [name for name in raw if not np.array_equal(raw[name], other[name])]
    assert {name.rpartition("/")[2] for name in changed} == {"2", "3"}  # the mean and the variance of each norm


def test_the_late_loss_replaces_the_loss_after_its_share_of_the_epochs():
    train = load(
        "unet", ["train.epochs=4", "train.loss=bce", "train.late_loss=lovasz", "train.late_loss_start=0.3"]
    ).train
    assert [loop.loss_of_epoch(train, epoch) for epoch in range(4)] == ["bce", "bce", "lovasz", "lovasz"]
    train = load("unet", ["train.epochs=4", "train.loss=bce", "train.late_loss="]).train
    assert [loop.loss_of_epoch(train, epoch) for epoch in range(4)] == ["bce"] * 4
