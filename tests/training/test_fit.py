"""Training a fold: it learns, it repeats, and killed at any moment it goes on as if nothing had happened."""

from __future__ import annotations

import csv
import errno
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import h5py
import keras
import numpy as np
import pytest

from pipeline.artifacts import Artifact, backup_folder, remove_backup
from pipeline.config import Settings, TrainSettings, UserError, load
from pipeline.network.averaging import arrays_of
from pipeline.network.optimizers import average_variables
from pipeline.prediction import predictor as inference
from pipeline.scoring import metric, thresholding
from pipeline.system import disk
from pipeline.system.progress import Epoch, FoldCallback
from pipeline.training import fit
from pipeline.training.checkpoint import Checkpoint
from tests.conftest import blobs

pytestmark = pytest.mark.backends
SMALL = [
    "network.width=4",
    "network.levels=1",
    "network.blocks=1",
    "network.residual=false",
    "network.attention=none",
    "network.hypercolumn=false",
    "network.deep_supervision=0",
    "network.empty_head=0",
    "train.late_loss=",
    "train.ema_momentum=0",
    "network.dropout_kind=element",
    "train.epochs=4",
    "train.batch_size=8",
    "train.learning_rate=0.01",
    "train.precision=float32",
]
IMAGES, MASKS = blobs(40)
UNLABELLED = blobs(30, seed=5)[0]
FLIPS = int(os.environ.get("FUZZ_EXAMPLES", "60"))
TRAINING, VALIDATION = np.arange(28), np.arange(28, 40)


class KilledError(Exception):
    """Stands for a process that dies."""


class Killer(FoldCallback):
    """Ends the run at a step of an epoch, or right after an epoch was saved."""

    def __init__(self, epoch: int, step: int | None) -> None:
        self._at = (epoch, step)
        self.resumed_after: int | None = None

    def resumed(self, fold: int, done: int) -> None:
        self.resumed_after = done

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        if (epoch, step) == self._at:
            raise KilledError

    def epoch(self, told: Epoch) -> None:
        if (told.epoch, None) == self._at:
            raise KilledError


class Teller(FoldCallback):
    """Keeps the number of steps of each epoch."""

    def __init__(self) -> None:
        self.steps: set[tuple[int, int]] = set()

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        self.steps.add((epoch, steps))


def fold(
    folder: Path,
    *assignments: str,
    callback: FoldCallback | None = None,
    identity: str = "x",
    before_overwrite: Callable[[], object] | None = None,
) -> dict[str, Any]:
    return fit.fit_fold(
        load("unet", [*SMALL, *assignments]),
        IMAGES,
        MASKS,
        TRAINING,
        VALIDATION,
        0,
        folder,
        identity,
        callback,
        unlabelled=UNLABELLED,
        before_overwrite=before_overwrite,
    )


def weights(folder: Path, file: str = "best.weights.h5") -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(folder / file) as stored:
        stored.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as stream:
        kept = ("epoch", "loss", "score", "learning_rate", "pseudo_labels")
        return [{key: row[key] for key in kept if key in row} for row in csv.DictReader(stream)]


def assert_same(one: Path, other: Path) -> None:
    files = sorted(path.name for path in one.glob("*.weights.h5"))
    assert files == sorted(path.name for path in other.glob("*.weights.h5"))
    for file in files:
        mine, theirs = weights(one, file), weights(other, file)
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=f"{file}: {name}")
    assert history(one) == history(other)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_fold_learns_in_half_precision_with_averaged_weights(tmp_path: Path, precision: str):
    optimizer = ["train.optimizer=adamw", "train.ema_momentum=0.9", "train.late_loss=bce_symmetric_lovasz"]
    result = fold(tmp_path, "train.epochs=12", "train.schedule=constant", f"train.precision={precision}", *optimizer)
    assert result["score"] > 0.5
    assert all(np.isfinite(each).all() for each in weights(tmp_path).values())


def test_a_fold_learns_and_leaves_weights_that_predict(tmp_path: Path):
    result = fold(tmp_path, "train.epochs=12", "train.schedule=constant")
    assert result["score"] > 0.5
    assert result["epochs"] == 12
    settings = load("unet", SMALL)
    model, transform = fit.load_network(settings, tmp_path / "best.weights.h5")
    found = np.empty((12, 101, 101), np.uint8)
    inference.probabilities(model, transform, IMAGES[VALIDATION], found, ("plain",))
    assert metric.score(thresholding.apply(found, 0.5, 0), MASKS[VALIDATION]) == pytest.approx(
        result["score"], abs=0.02
    )
    assert result["parameters"] == model.count_params()


def test_a_seeded_run_repeats_whoever_prepares_and_takes_its_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fold(tmp_path / "one", "train.epochs=2")
    fold(tmp_path / "two", "train.epochs=2", "train.workers=2")
    assert_same(tmp_path / "one", tmp_path / "two")
    # A GPU is fed by Keras' ``fit``; here it feeds the processor, and only adds the losses up in another way.
    monkeypatch.setattr(fit, "gpus", lambda: ["gpu:0"])
    fold(tmp_path / "fit", "train.epochs=2")
    for mine, theirs in zip(history(tmp_path / "one"), history(tmp_path / "fit"), strict=True):
        assert float(mine["loss"]) == pytest.approx(float(theirs["loss"]), abs=2e-5)
        assert mine["score"] == theirs["score"]


@pytest.mark.parametrize("gpus", [[], ["gpu:0"]])
def test_each_step_is_told_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: list[str]
):  # by both ways to feed a backend
    monkeypatch.setattr(fit, "gpus", lambda: gpus)
    told: list[tuple[int, int]] = []

    class Steps(FoldCallback):
        def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
            told.append((epoch, step))

    fold(tmp_path, "train.epochs=2", callback=Steps())
    assert told == [(epoch, step) for epoch in range(2) for step in (1, 2, 3)]


def test_an_earlier_training_is_given_up_only_when_a_new_one_is_done(tmp_path: Path):
    told: list[str] = []
    fold(tmp_path, "train.epochs=1", callback=Teller(), before_overwrite=lambda: told.append("done"))
    assert told == ["done"]
    before = weights(tmp_path)
    with pytest.raises(KilledError):
        fold(
            tmp_path,
            "train.epochs=2",
            callback=Killer(1, 2),
            identity="y",
            before_overwrite=lambda: told.append("killed"),
        )
    assert told == ["done"]
    assert all(np.array_equal(before[name], value) for name, value in weights(tmp_path).items())


@pytest.mark.parametrize("seed", [430, 2**31 - 1])
def test_any_seed_that_may_be_set_can_be_trained_with(tmp_path: Path, seed: int):
    assert fold(tmp_path, "train.epochs=1", f"train.seed={seed}")["epochs"] == 1


@pytest.mark.parametrize(
    ("settings", "epoch", "step"),
    [
        (("train.ema_momentum=0.9", "train.late_loss=bce_lovasz", "train.late_loss_start=0.5"), 2, 1),
        (("train.schedule=plateau", "train.plateau_patience=1", "train.optimizer=adam"), 3, None),
        (("train.schedule=cosine_restarts", "train.cycles=2", "train.snapshots=2"), 3, 2),
        (("train.swa_start=0.2", "train.schedule=cosine_restarts", "train.cycles=2"), 3, 2),
        (("train.pseudo_fraction=0.5", "train.pseudo_start=0.3", "train.ema_momentum=0.9"), 3, 2),
    ],
)
def test_a_killed_run_goes_on_and_ends_as_an_uninterrupted_one(
    tmp_path: Path, settings: tuple[str, ...], epoch: int, step: int | None
):
    fold(tmp_path / "whole", *settings)
    killer = Killer(epoch, step)
    with pytest.raises(KilledError):
        fold(tmp_path / "killed", *settings, callback=killer)
    again = Killer(-1, -1)
    fold(tmp_path / "killed", *settings, callback=again)
    assert again.resumed_after == (epoch or None)
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_an_epoch_with_pseudo_labels_is_as_long_and_the_same_whoever_prepares_it(tmp_path: Path):
    settings = (
        "train.pseudo_fraction=0.5",
        "train.pseudo_start=0.5",
        "train.pseudo_keep_fraction=0.8",
        "train.learning_rate=0.03",
    )
    told = Teller()
    fold(tmp_path / "one", *settings, callback=told)
    assert told.steps == {(epoch, 3) for epoch in range(4)}
    counts = [int(row["pseudo_labels"]) for row in history(tmp_path / "one")]
    assert counts[:2] == [0, 0]
    assert all(10 <= count <= 14 for count in counts[2:])  # half of 28, a tile less for each kind
    fold(tmp_path / "two", *settings, "train.workers=2")
    assert_same(tmp_path / "one", tmp_path / "two")
    fold(tmp_path / "none", "train.learning_rate=0.03")
    assert "pseudo_labels" not in history(tmp_path / "none")[0]
    losses = [[row["loss"] for row in history(tmp_path / name)] for name in ("one", "none")]
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][2] != losses[1][2]


def test_what_a_killed_run_leaves_of_pseudo_labels_is_gone_with_its_backup(tmp_path: Path):
    left = tmp_path / "backup-x" / fit.PSEUDO / "images.npy"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a run that was killed")
    fold(tmp_path, "train.pseudo_fraction=0.5", "train.pseudo_start=0.5")
    assert not left.parent.exists()
    trained = Artifact("train fold 0", "train", tmp_path, "train.json", ())
    left = backup_folder(trained) / fit.PSEUDO / "images.npy"
    left.parent.mkdir(parents=True)
    remove_backup(trained)
    assert not left.parent.parent.exists()


def test_where_there_is_no_room_for_pseudo_labels_nothing_stays_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        fold(tmp_path, "train.pseudo_fraction=0.5")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_share_of_pseudo_labels_that_is_no_tile_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"train\.pseudo_fraction = 0\.01 of 28 tiles is none"):
        fold(tmp_path, "train.pseudo_fraction=0.01")


def test_a_backup_of_other_settings_or_data_is_not_used(tmp_path: Path):
    with pytest.raises(KilledError):
        fold(tmp_path, callback=Killer(2, None))
    again = Killer(-1, -1)
    fold(tmp_path, callback=again, identity="other")
    assert again.resumed_after is None
    # It is still there for its own, whatever was tried meanwhile that came less far.
    shutil.rmtree(tmp_path / "backup-other")
    for identity, killer in (("one", Killer(0, 2)), ("two", Killer(1, None)), ("three", Killer(1, None))):
        with pytest.raises(KilledError):
            fold(tmp_path, callback=killer, identity=identity)
    assert {path.name for path in tmp_path.glob("backup-*")} == {"backup-x", "backup-three"}
    fold(tmp_path, callback=again)
    assert again.resumed_after == 2


@pytest.mark.parametrize("damage", [b"", b"not a zip", None])
def test_a_damaged_backup_is_not_used(tmp_path: Path, damage: bytes | None):
    with pytest.raises(KilledError):
        fold(tmp_path, callback=Killer(2, None))
    state = tmp_path / "backup-x" / "state.npz"
    state.write_bytes(state.read_bytes()[:-2000] if damage is None else damage)
    again = Killer(-1, -1)
    fold(tmp_path, callback=again)
    assert again.resumed_after is None


def exported(folder: Path, before_overwrite: Callable[[], object] | None = None) -> list[np.ndarray]:
    """Export a small network from a checkpoint, as at the end of a training; returns its weights."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(300), keras.layers.BatchNormalization()])
    model.compile(optimizer="adam", loss="mse")
    row = {"epoch": 1, "score": 0.5, "seconds": 1.0, "seconds_scoring": 0.1, "seconds_cpu": 1.0}
    checkpoint = Checkpoint(folder / "backup", "x")
    kept = [np.full(weight.shape, place, np.float32) for place, weight in enumerate(model.get_weights())]
    checkpoint.save_best(kept, 0)
    fit._export_best(model, TrainSettings(epochs=1), checkpoint, [row], folder, 1, before_overwrite)
    return kept


def test_weights_are_exported_as_keras_itself_would_write_them(tmp_path: Path):
    kept = exported(tmp_path)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(300), keras.layers.BatchNormalization()])
    model.load_weights(tmp_path / "best.weights.h5")
    for mine, theirs in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    model.save_weights(tmp_path / "keras.weights.h5")
    own, other = weights(tmp_path), weights(tmp_path, "keras.weights.h5")
    assert own.keys() == other.keys()
    for name, array in own.items():
        np.testing.assert_array_equal(array, other[name])


def test_a_full_disk_under_the_export_of_weights_is_an_error_that_is_named(tmp_path: Path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            exported(tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "run the same command again" in disk.failure(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


def test_weights_that_read_back_otherwise_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = fit.serialized

    def damaged(model: keras.Model) -> bytes:
        """As h5py leaves a file one of whose writes has failed: an array is zeros."""
        content = bytes(whole(model))
        array = np.full(300, 1, np.float32).tobytes()
        assert array in content
        return content.replace(array, bytes(len(array)))

    monkeypatch.setattr(fit, "serialized", damaged)
    with pytest.raises(OSError, match="Other weights were read back"):
        exported(tmp_path)


@pytest.mark.fuzz
def test_of_a_backup_with_a_flipped_bit_nothing_wrong_is_used(tmp_path: Path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile(optimizer="adam", loss="mse")
    model.optimizer.build(model.trainable_variables)
    checkpoint = Checkpoint(tmp_path, "x")
    checkpoint.save_best([np.arange(4.0)], 0)
    checkpoint.save(model, [{"epoch": 1}], best_epochs=[0])
    saved = [np.asarray(weight) for weight in model.get_weights()]
    model.set_weights([np.zeros_like(each) for each in saved])
    assert checkpoint.restore(model)[0] == [{"epoch": 1}]  # undamaged it is used
    draw = np.random.default_rng(0)
    for path in (tmp_path / "state.npz", tmp_path / "best-0.npz"):
        whole = path.read_bytes()
        for at in draw.choice(len(whole), min(len(whole), FLIPS), replace=False):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << draw.integers(8)]) + whole[at + 1 :])
            model.set_weights([np.zeros_like(each) for each in saved])
            history, _ = checkpoint.restore(model)
            if history:
                assert history == [{"epoch": 1}]
                np.testing.assert_array_equal(checkpoint.load_best(0), [np.arange(4.0)])
            expected = saved if history else [np.zeros_like(each) for each in saved]
            for mine, theirs in zip(model.get_weights(), expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)
        path.write_bytes(whole)


def test_a_loss_that_is_no_number_stops_the_fold_in_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"learning.rate") as error:
        fold(
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
    # With a rate of next to nothing no epoch is better than the first.
    result = fold(
        tmp_path,
        "train.epochs=30",
        "train.early_stopping=2",
        "train.learning_rate=1e-12",
        "train.weight_decay=0",
        "network.norm=none",
    )
    assert result["epochs"] == result["best_epoch"] + 2


def test_the_average_is_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    raw, average = [], []
    one_epoch = fit.one_epoch

    def remembered(model: keras.Model, *arguments: Any) -> float:
        loss = one_epoch(model, *arguments)
        raw.extend(arrays_of(model.trainable_variables))
        average.extend(arrays_of(average_variables(model)))
        return loss

    monkeypatch.setattr(fit, "one_epoch", remembered)
    fold(tmp_path, "train.epochs=1", "train.ema_momentum=0.999")
    assert not any(name.startswith("optimizer") for name in weights(tmp_path))
    model, _ = fit.load_network(load("unet", SMALL), tmp_path / "best.weights.h5")
    kept = arrays_of(model.trainable_variables)
    assert all(map(np.array_equal, kept, average))
    assert not any(map(np.array_equal, kept, raw))
    assert len(kept) == len(average) == len(raw)


def test_the_weights_are_those_of_the_first_of_the_best_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # What epochs score is set here: the second and third are best, and the last is neither best nor worst.
    scores, after = iter([0.2, 0.6, 0.6, 0.4]), []
    one_epoch = fit.one_epoch

    def remembered(model: keras.Model, *arguments: Any) -> float:
        loss = one_epoch(model, *arguments)
        after.append([np.asarray(weight) for weight in model.get_weights()])
        return loss

    monkeypatch.setattr(fit, "one_epoch", remembered)
    monkeypatch.setattr(fit.metric, "score", lambda *_: next(scores))
    result = fold(tmp_path)
    assert (result["best_epoch"], result["score"], result["kept_epochs"]) == (2, 0.6, [2])
    assert [float(row["score"]) for row in history(tmp_path)] == [0.2, 0.6, 0.6, 0.4]
    model, _ = fit.load_network(load("unet", SMALL), tmp_path / "best.weights.h5")
    kept = model.get_weights()
    same = [all(map(np.array_equal, kept, each)) for each in after]
    assert same == [False, True, False, False]


def test_plateau_cuts_the_rate_when_the_score_stops_rising():
    from pipeline.network.schedules import plateau_rate

    train = load("unet", ["train.plateau_patience=2", "train.plateau_factor=0.1", "train.min_lr_ratio=0.01"]).train
    assert plateau_rate(train, []) == train.learning_rate
    assert plateau_rate(train, [0.1, 0.2, 0.2]) == train.learning_rate
    assert plateau_rate(train, [0.1, 0.2, 0.2, 0.1]) == pytest.approx(train.learning_rate * 0.1)
    assert plateau_rate(train, [0.5] + [0.1] * 20) == pytest.approx(train.learning_rate * 0.01)


def test_each_of_the_last_cycles_leaves_a_snapshot_and_their_probabilities_are_averaged(tmp_path: Path):
    chosen = ["train.schedule=cosine_restarts", "train.epochs=6", "train.cycles=3", "train.snapshots=2"]
    (tmp_path / "best.weights.h5").write_bytes(b"of a run without snapshots")
    result = fold(tmp_path, *chosen)
    files = ["best-of-cycle-2.weights.h5", "best-of-cycle-3.weights.h5"]
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == files
    scores = [float(row["score"]) for row in history(tmp_path)]
    best = [2 + int(np.argmax(scores[2:4])), 4 + int(np.argmax(scores[4:6]))]
    assert result["kept_epochs"] == [epoch + 1 for epoch in best]
    settings = load("unet", [*SMALL, *chosen, "predict.batch_size=5"])
    paths = [tmp_path / name for name in files]
    found = []
    for path, epoch in zip(paths, best, strict=True):
        found.append(fit.trained_predictor(settings, path)(IMAGES[VALIDATION], np.empty((12, 101, 101), np.uint8)))
        alone = fit.trained_predictor(settings, path)(IMAGES[VALIDATION], np.empty((12, 101, 101), np.uint8), ["plain"])
        assert metric.score(thresholding.apply(alone, 0.5, 0), MASKS[VALIDATION]) == pytest.approx(
            scores[epoch], abs=1e-3
        )
    assert not np.array_equal(found[0], found[1])
    told: list[int] = []
    answer = fit.trained_predictor(settings, *paths)
    together = answer(IMAGES[VALIDATION], np.empty((12, 101, 101), np.uint8), progress=told.append)
    assert np.abs(together - np.mean(found, axis=0)).max() <= 1  # of two numbers that were rounded themselves
    assert told == sorted(told)
    assert told[-1] == 12


def test_an_average_of_epochs_is_scored_and_kept_and_leaves_the_training_as_it_was(tmp_path: Path):
    options = ("train.schedule=constant", "train.epochs=3")
    fold(tmp_path / "raw", *options)
    fold(tmp_path / "average", *options, "train.swa_start=0.3")
    raw, average = history(tmp_path / "raw"), history(tmp_path / "average")
    assert [row["loss"] for row in raw] == [row["loss"] for row in average]
    assert raw[0] == average[0]
    assert [row["score"] for row in raw[2:]] != [row["score"] for row in average[2:]]


def test_an_ensemble_rounds_once_whatever_the_number_of_tiles(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inference, "SPAN", 4)
    known: dict[str, float] = {}
    model = SimpleNamespace(set_weights=lambda weights: known.update(chance=weights[0]))

    class Constant:
        """Says the same of every pixel."""

        def __init__(self) -> None:
            self.model, self.taken = model, 0.0

        def take(self, network: object) -> None:
            self.taken = known["chance"]

        def __call__(
            self, images: np.ndarray, out: np.ndarray, views: object, progress: Any, depths: object
        ) -> np.ndarray:
            out[:] = np.float32(self.taken)
            progress(len(images))
            return out

    # 0.4 and 0.5 of a level: each alone is nothing, their mean too; of 0.4 and 0.8 it is a level.
    tiles = np.zeros((10, 101, 101), np.uint8)
    told: list[int] = []
    for chances, level in (((0.4, 0.5), 0), ((0.4, 0.8), 1)):
        networks = [[np.array(chance / 255)] for chance in chances]
        found = inference.Ensemble(cast(inference.Predictor, Constant()), networks)(
            tiles, np.full(tiles.shape, 9, np.uint8), ("plain",), told.append
        )
        assert set(np.unique(found)) == {level}
    assert told == 2 * [2, 4, 6, 8, 9, 10]


def test_weights_of_another_network_are_refused(tmp_path: Path):
    fold(tmp_path, "train.epochs=1")
    with pytest.raises(UserError, match=r"best\.weights\.h5"):
        fit.load_network(load("unet", [*SMALL, "network.width=8"]), tmp_path / "best.weights.h5")
    with pytest.raises(UserError, match=r"best\.weights\.h5"):
        fit.load_network(load("unet", [*SMALL, "network.levels=2"]), tmp_path / "best.weights.h5")
    (tmp_path / "best.weights.h5").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"best\.weights\.h5"):
        fit.load_network(load("unet", SMALL), tmp_path / "best.weights.h5")


def test_flipping_averages_both_ways(tmp_path: Path):
    settings: Settings = load("unet", SMALL)
    model, transform = fit.make_network(settings, 1)
    fit.compile_network(model)
    images = IMAGES[:5]
    once, flipped, both = (np.empty((5, 101, 101), np.uint8) for _ in range(3))
    inference.probabilities(model, transform, images, once, ("plain",), batch=2)
    inference.probabilities(model, transform, images[:, :, ::-1], flipped, ("plain",), batch=2)
    inference.probabilities(model, transform, images, both, ("plain", "flip"), batch=3)
    mean = (once.astype(float) + flipped[:, :, ::-1]) / 2
    assert np.abs(both - mean).max() <= 1
    assert np.abs(once.astype(int) - both).max() > 1


def test_a_network_that_sees_depths_learns_from_them_and_predicts_with_them(tmp_path: Path):
    # The tile says nothing, its depth says all: below 500 feet there is nothing but salt.
    images = np.full((24, 101, 101), 128, np.uint8)
    depths = np.linspace(50, 950, 24, dtype=np.float32)
    masks = np.zeros(images.shape, np.uint8)
    masks[depths > 500] = 1
    settings = load(
        "unet", [*SMALL, "input.channels=depth", "network.norm=batch", "augment.affine=0", "train.epochs=25"]
    )
    rows = np.arange(24)
    training, validation = rows[rows % 4 > 0], rows[rows % 4 == 0]
    told = fit.fit_fold(settings, images, masks, training, validation, 0, tmp_path, "x", depths=depths)
    assert told["score"] > 0.8  # a half is what predicting nothing scores
    answer = fit.trained_predictor(settings, tmp_path / "best.weights.h5")
    found = answer(images, np.empty(images.shape, np.uint8), depths=depths)
    deep, shallow = found[depths > 500].mean(), found[depths < 500].mean()
    assert deep > shallow + 40
    # Chunks, batches and views keep each depth with its tile.
    few = fit.load_network(settings, tmp_path / "best.weights.h5")
    again = inference.Predictor(*few, batch=5)(images, np.empty(images.shape, np.uint8), depths=depths)
    assert np.abs(again.astype(int) - found).max() <= 1
