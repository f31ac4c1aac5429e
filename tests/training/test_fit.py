"""Training a fold: it learns, it repeats, and a killed run resumes and ends as an uninterrupted one."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.config import load
from pipeline.prediction.load import load_network, load_predictor
from pipeline.prediction.predictor import Predictor, probabilities
from pipeline.scoring import metric, thresholding
from pipeline.system.progress import Epoch, FoldCallback
from pipeline.training import epoch as epoch_module
from pipeline.training.fit import fit_fold
from pipeline.training.fold import FoldData, FoldRun, LabelledTiles
from tests.training.helpers import (
    DATA,
    LABELLED,
    SMALL,
    STEPS,
    STUDENT,
    TILES,
    VALIDATION,
    KilledError,
    Killer,
    StepRecorder,
    assert_same,
    history,
    killed,
    train_fold,
    weights,
)

pytestmark = pytest.mark.backends


STEM = "network.stem=stride2"
"""With it, the small network learns in fewer epochs."""


@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_a_fold_learns_in_half_precision_with_averaged_weights(tmp_path: Path, precision: str):
    optimizer = ["train.optimizer=adamw", "train.ema_momentum=0.9", "train.loss=bce_symmetric_lovasz"]
    result = train_fold(
        tmp_path, STEM, "train.epochs=4", "train.schedule=constant", f"train.precision={precision}", *optimizer
    )
    assert result["score"] > 0.5
    assert all(np.isfinite(each).all() for each in weights(tmp_path).values())


def test_a_fold_learns_and_leaves_weights_that_predict(tmp_path: Path):
    padded = (STEM, "input.fit=pad", "input.size=112")
    result = train_fold(tmp_path, *padded, "train.epochs=5", "train.schedule=constant")
    assert result["score"] > 0.5
    assert result["epochs"] == 5
    model, transform = load_network(load("unet", [*SMALL, *padded]), tmp_path / "best.weights.h5")
    found = np.empty((12, 101, 101), np.uint8)
    probabilities(model, transform, TILES.images[VALIDATION], found, ("plain",))
    assert metric.score(thresholding.apply(found, 0.5, 0), TILES.masks[VALIDATION]) == pytest.approx(
        result["score"], abs=0.02
    )
    assert result["parameters"] == model.count_params()
    assert "pseudo_labels" not in history(tmp_path)[0]


# ---- The same results whatever prepares and consumes the batches ----------------------------------------------------


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two epochs, trained as on a CPU: by ``train_on_batch``."""
    return _recorded(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two epochs, trained as on a GPU: by Keras' ``fit``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_module, "gpus", lambda: ["gpu:0"])
        return _recorded(tmp_path_factory.mktemp("fit"))


SEEDED = ("train.epochs=2", f"train.seed={2**31 - 1}")
"""With the largest seed: that of the fold is a multiple of it, which exceeds 32 bits."""


def _recorded(folder: Path) -> SimpleNamespace:
    """Train two epochs; record the steps, and the calls of ``before_overwrite``."""
    steps, overwritten = StepRecorder(), list[str]()
    train_fold(folder, *SEEDED, callback=steps, before_overwrite=lambda: overwritten.append("done"))
    return SimpleNamespace(folder=folder, steps=steps.calls, overwritten=overwritten)


def test_a_gpu_is_fed_the_same_batches(loop: SimpleNamespace, fit: SimpleNamespace):
    for mine, theirs in zip(history(loop.folder), history(fit.folder), strict=True):
        # ``fit`` sums the losses in a different order.
        assert float(mine["loss"]) == pytest.approx(float(theirs["loss"]), abs=2e-5)
        assert mine["score"] == theirs["score"]


@pytest.mark.parametrize("run", ["loop", "fit"])
def test_each_step_is_reported_once_and_in_order(run: str, request: pytest.FixtureRequest):
    steps = request.getfixturevalue(run).steps
    assert steps == [(epoch, step, STEPS) for epoch in range(2) for step in (1, 2, 3)]


# ---- Killed runs ----------------------------------------------------------------------------------------------------


class Snapshot(FoldCallback):
    """Copies the fold's folder at a step of an epoch, or after an epoch: what a process killed there leaves."""

    def __init__(self, folder: Path, copy: Path, epoch: int, step: int | None) -> None:
        self._folder, self._copy, self._at = folder, copy, (epoch, step)

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        if (epoch, step) == self._at:
            shutil.copytree(self._folder, self._copy)

    def epoch(self, result: Epoch) -> None:
        if (result.epoch, None) == self._at:
            shutil.copytree(self._folder, self._copy)


RESTARTS = ("train.schedule=cosine_restarts", "train.cycles=2")
EVERYTHING = (
    *(*RESTARTS, "train.first_cycle=0.25", "train.snapshots=2"),
    *("train.late_loss=bce_lovasz", "train.late_loss_start=0.5"),
    *("train.keep=last", "train.ema_momentum=0.9", "train.ema_statistics=averaged"),
    *(STUDENT, "augment.cutout=0.5", "network.norm=batch"),
)
HEADS = (
    *(STEM, "network.empty_head=0.1", "network.empty_gate=features"),
    *("network.hypercolumn=true", "network.hypercolumn_dropout=0.3"),
)


@pytest.mark.parametrize(
    ("settings", "epoch", "step"),
    [
        (EVERYTHING, 3, 1),
        # More layers. One at a time what the one above has together, at other moments. What does not go with it.
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ((*EVERYTHING, *HEADS), 3, 1),
                (("train.ema_momentum=0.9", "train.ema_statistics=recomputed", "network.norm=batch"), 2, 1),
                (("train.schedule=plateau", "train.plateau_patience=1", "train.optimizer=adam"), 3, None),
                ((*RESTARTS, "train.snapshots=2"), 3, 2),
                ((*RESTARTS, "train.swa_start=0.2"), 3, 2),
                ((*RESTARTS, "train.swa_start=0.5", "train.late_loss=bce_lovasz", "train.late_loss_start=0.5"), 3, 1),
                ((STUDENT, "student.end=1", "train.ema_momentum=0.9"), 3, 2),
            )
        ),
    ],
    ids=["everything", "heads", "ema", "plateau", "snapshots", "mean", "mean and late loss", "pseudo-labels"],
)
def test_a_killed_run_resumes_and_ends_as_an_uninterrupted_one(
    tmp_path: Path, settings: tuple[str, ...], epoch: int, step: int | None
):
    whole, copy = tmp_path / "whole", tmp_path / "killed"
    data = LABELLED if STUDENT in settings else DATA
    train_fold(whole, *settings, callback=Snapshot(whole, copy, epoch, step), data=data)
    assert not [*copy.glob("*.weights.h5")]
    resumed = Killer(-1, -1)
    train_fold(copy, *settings, callback=resumed, data=data)
    assert resumed.resumed_after == epoch
    assert_same(whole, copy)


# ``loop.folder`` has the backup of its training, which ``fit_fold`` leaves to its caller to remove.


def test_what_an_earlier_training_has_left_is_kept_but_not_used_until_the_new_one_is_done(
    loop: SimpleNamespace, tmp_path: Path
):
    assert loop.overwritten == ["done"]
    folder, overwritten, killer = tmp_path / "fold", list[str](), Killer(1, 2)
    shutil.copytree(loop.folder, folder)
    (folder / "backup-zero").mkdir()  # of a run that was killed in its first epoch
    before = weights(folder)
    with pytest.raises(KilledError):
        train_fold(
            folder,
            "train.epochs=2",
            callback=killer,
            identity="other",
            before_overwrite=lambda: overwritten.append("killed"),
        )
    assert killer.resumed_after is None
    assert overwritten == []
    assert all(np.array_equal(before[name], value) for name, value in weights(folder).items())
    # Of the backups of other runs, the one with the most epochs is kept.
    assert {path.name for path in folder.glob("backup-*")} == {"backup-x", "backup-other"}
    assert killed(folder, at=(2, 1)) == 2


@pytest.mark.slow
def test_a_damaged_backup_is_not_used(loop: SimpleNamespace, tmp_path: Path):
    folder = tmp_path / "fold"
    shutil.copytree(loop.folder, folder, ignore=shutil.ignore_patterns("*.weights.h5", "history.csv"))
    state = folder / "backup-x" / "state.npz"
    state.write_bytes(state.read_bytes()[:-2000])  # other damage: tests/training/test_checkpoint.py
    damaged, killer = state.read_bytes(), Killer(1, None)
    with pytest.raises(KilledError):
        train_fold(folder, callback=killer)
    assert killer.resumed_after is None
    assert killer.kept == state.with_name("unusable-state.npz")
    assert killer.kept.read_bytes() == damaged
    assert killed(folder, at=(1, 1)) == 1


# ---- Depths ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_network_with_a_depth_channel_learns_from_depths_and_predicts_with_them(tmp_path: Path):
    # The image is constant; a tile is all salt below 500 feet, and empty above.
    images = np.full((24, 101, 101), 128, np.uint8)
    depths = np.linspace(50, 950, 24, dtype=np.float32)
    masks = np.zeros(images.shape, np.uint8)
    masks[depths > 500] = 1
    settings = load(
        "unet", [*SMALL, STEM, "input.channels=depth", "network.norm=batch", "augment.affine=0", "train.epochs=25"]
    )
    rows = np.arange(24)
    data = FoldData(LabelledTiles(images, masks, depths), rows[rows % 4 > 0], rows[rows % 4 == 0])
    result: dict[str, Any] = fit_fold(FoldRun(settings, 0, tmp_path, "x"), data)
    assert result["score"] > 0.8  # predicting nothing scores a half
    predictor = load_predictor(settings, tmp_path / "best.weights.h5")
    found = predictor(images, np.empty(images.shape, np.uint8), depths=depths)
    deep, shallow = found[depths > 500].mean(), found[depths < 500].mean()
    assert deep > shallow + 40
    # Chunks, batches and views keep each depth with its tile.
    network = load_network(settings, tmp_path / "best.weights.h5")
    again = Predictor(*network, batch=5)(images, np.empty(images.shape, np.uint8), depths=depths)
    assert np.abs(again.astype(int) - found).max() <= 1
