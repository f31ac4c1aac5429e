"""Masked pretraining: what its loss counts, a killed run, and how a fold starts from the weights."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.config import UserError, load
from pipeline.network.averaging import arrays_of
from pipeline.network.masked import contracting_layers, masked_network, shared_layers
from pipeline.prediction.build import make_network
from pipeline.prediction.load import load_weights
from pipeline.system import environment
from pipeline.system.progress import Epoch, FoldCallback, PretrainingCallback
from pipeline.training import pretraining
from pipeline.training.export import export_weights
from pipeline.training.fit import fit_fold
from pipeline.training.fold import FoldRun
from pipeline.training.history import read_history
from pipeline.training.masking import MaskedBatches, TileImages
from pipeline.training.pretrained import start_from
from pipeline.training.pretraining import PretrainingRun, fit_masked
from tests.conftest import blobs
from tests.training.helpers import DATA, SMALL, assert_same, weights

pytestmark = pytest.mark.backends

PLAIN = [
    *SMALL,
    "network.norm=batch",
    "train.pretrain=masked",
    "pretrain.views=96",
    "pretrain.learning_rate=0.01",
]
WITH_HEADS = [
    *(*PLAIN, "network.stem=stride2", "network.hypercolumn=true"),
    *("network.empty_head=0.1", "network.deep_supervision=0.1"),
]
PARTS = [TileImages(blobs(20)[0]), TileImages(blobs(12, seed=5)[0])]
FILE = "pretrained.weights.h5"


class Events(PretrainingCallback):
    """Records the events, and ends the run after a number of views."""

    def __init__(self, last: float = math.inf, folder: Path | None = None, copy: Path | None = None) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._last, self._folder, self._copy = last, folder, copy

    def resumed(self, views: int, total: int) -> None:
        self.events.append(("resumed", views, total))

    def unusable(self, kept: Path) -> None:
        self.events.append(("unusable", kept))

    def views(self, views: int, total: int) -> None:
        self.events.append(("views", views, total))
        if views == self._last and self._folder is not None and self._copy is not None:
            shutil.copytree(self._folder, self._copy)  # what a process leaves that is killed here

    def epoch(self, views: int, total: int, loss: float) -> None:
        self.events.append(("epoch", views, total))


def pretrain(folder: Path, *assignments: str, callback: PretrainingCallback | None = None) -> dict[str, Any]:
    """Pretrain the small network in three epochs of two steps."""
    settings = load("unet", [*PLAIN, *assignments])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "EPOCH_VIEWS", 32)
        return fit_masked(PretrainingRun(settings, folder, "x", callback or Events()), PARTS)


def rows(folder: Path) -> list[dict[str, str]]:
    """The history without the seconds."""
    return [{key: row[key] for key in ("epoch", "views", "loss", "learning_rate")} for row in read_history(folder)]


def assert_same_pretraining(one: Path, other: Path) -> None:
    mine, theirs = weights(one, FILE), weights(other, FILE)
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)
    assert rows(one) == rows(other)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An uninterrupted pretraining beside a damaged backup, what it had left in its second epoch, and its events."""
    folder = tmp_path_factory.mktemp("pretraining")
    whole, killed = folder / "whole", folder / "killed"
    (whole / "backup-x").mkdir(parents=True)
    (whole / "backup-x/state.npz").write_bytes(b"damaged")
    events = Events(48, whole, killed)
    result = pretrain(whole, callback=events)
    assert (result["views"], result["tiles"]) == (96, 32)
    return SimpleNamespace(whole=whole, killed=killed, events=events.events)


# ---- Pretraining ----------------------------------------------------------------------------------------------------


def test_it_learns(runs: SimpleNamespace):
    losses = [float(row["loss"]) for row in rows(runs.whole)]
    assert losses[-1] < 0.95 * losses[0]


def test_a_backup_that_cannot_be_used_is_kept_and_reported_before_all_steps_and_epochs(runs: SimpleNamespace):
    unusable = runs.whole / "backup-x/unusable-state.npz"
    expected = [("views", 16), ("views", 32), ("epoch", 32), ("views", 48), ("views", 64), ("epoch", 64)]
    expected += [("views", 80), ("views", 96), ("epoch", 96)]
    assert runs.events == [("unusable", unusable), *((*each, 96) for each in expected)]
    assert unusable.read_bytes() == b"damaged"


def test_a_killed_run_resumes_and_ends_as_an_uninterrupted_one(runs: SimpleNamespace):
    assert not (runs.killed / FILE).exists()
    events = Events()
    pretrain(runs.killed, callback=events)
    assert events.events[:2] == [("resumed", 32, 96), ("views", 48, 96)]
    assert_same_pretraining(runs.whole, runs.killed)


def test_the_loss_counts_masked_pixels_only(runs: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    batch = MaskedBatches.__getitem__

    def other_values(self: MaskedBatches, step: int) -> tuple[np.ndarray, ...]:
        inputs, targets, masked = batch(self, step)
        return inputs, np.where(masked[..., None] == 1, targets, 1e3).astype(np.float32), masked

    monkeypatch.setattr(MaskedBatches, "__getitem__", other_values)
    pretrain(tmp_path)
    assert_same_pretraining(runs.whole, tmp_path)
    # And it is their mean, not their share of all pixels: one that predicts about 0 has the mean of the targets.
    monkeypatch.setattr(MaskedBatches, "__getitem__", lambda self, step: (*batch(self, step)[:1], *distant(self, step)))
    assert pretrain(tmp_path / "far", "pretrain.views=16")["loss"] == pytest.approx(50, abs=5)


def distant(batches: MaskedBatches, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets far from anything that a new network predicts, with a single masked row in each tile."""
    shape = (batches.batch, 32, 32)
    masked = np.zeros(shape, np.float32)
    masked[:, step] = 1
    return np.full((*shape, 1), 50, np.float32), masked


def test_a_loss_that_is_not_finite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pretraining, "train_one_epoch", lambda *arguments: math.nan)
    monkeypatch.setattr(environment, "is_from_make", lambda: False)
    wanted = r"pretrain, after 0 views: the loss or a weight is not finite\. .* --set pretrain\.learning_rate=0\.0033"
    with pytest.raises(UserError, match=wanted):
        pretrain(tmp_path)
    assert not [*tmp_path.rglob("*.npz")]


# ---- The fold -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a network with other weights than any fold's."""
    masked = masked_network(make_network(load("unet", WITH_HEADS), seed=7)[0])
    folder = tmp_path_factory.mktemp("pretrained")
    export_weights(masked, {FILE: arrays_of(masked.weights)}, folder)
    return folder / FILE


def values(layers: list[keras.Layer]) -> dict[str, np.ndarray]:
    return {f"{layer.name}/{weight.name}": np.array(weight) for layer in layers for weight in layer.weights}


def seeds(model: keras.Model) -> list[np.ndarray]:
    """The random states of dropout."""
    known = {id(weight) for weight in model.weights}
    return [np.array(variable) for variable in model.variables if id(variable) not in known]


@pytest.mark.parametrize("layers", ["all", "encoder"])
def test_a_network_starts_from_the_pretrained_weights_except_those_of_its_heads(pretrained: Path, layers: str):
    settings = load("unet", [*WITH_HEADS, f"pretrain.layers={layers}"])
    source = make_network(settings)[0]
    load_weights(masked_network(source), pretrained)
    model = make_network(settings, 3)[0]
    before, states = values(model.layers), seeds(model)
    start_from(model, pretrained, settings)
    after, learned = values(model.layers), values(source.layers)
    taken = values(shared_layers(model) if layers == "all" else contracting_layers(model, settings.network)).keys()
    assert {"stem/kernel", "bottom_conv1/kernel", "bottom_conv1_norm/moving_mean"} <= taken
    assert ("columns_merge/kernel" in taken) == ("up1_conv2/kernel" in taken) == (layers == "all")
    assert {"logits/kernel", "salt_logit/kernel", "deep1_logits/kernel"} <= after.keys() - taken
    for name, value in after.items():
        np.testing.assert_array_equal(value, (learned if name in taken else before)[name], err_msg=name)
    assert not np.array_equal(after["stem/kernel"], before["stem/kernel"])
    assert states
    assert all(map(np.array_equal, seeds(model), states)), "dropout draws by the fold's seed"


def test_weights_of_another_network_are_refused(pretrained: Path):
    settings = load("unet", [*WITH_HEADS, "network.width=6"])
    with pytest.raises(UserError, match=r"cannot be loaded into this network .*; run make clean-pretrain"):
        start_from(make_network(settings)[0], pretrained, settings)


class KeepCopy(FoldCallback):
    """Copies the fold's folder after its first epoch: what a process leaves that is killed there."""

    def __init__(self, folder: Path, copy: Path) -> None:
        self._folder, self._copy = folder, copy

    def epoch(self, result: Epoch) -> None:
        if result.epoch == 1:
            shutil.copytree(self._folder, self._copy)


def test_a_fold_and_the_average_of_its_weights_start_from_them_and_a_killed_one_resumes(
    runs: SimpleNamespace, tmp_path: Path
):
    still = ["train.epochs=2", "train.keep=last", "train.learning_rate=1e-12", "train.ema_momentum=0.9"]
    settings = load("unet", [*PLAIN, *still])
    start, whole, killed = runs.whole / FILE, tmp_path / "whole", tmp_path / "killed"
    fit_fold(FoldRun(settings, 0, whole, "x", KeepCopy(whole, killed), pretrained=start), DATA)
    source, fold = make_network(settings)[0], make_network(settings)[0]
    load_weights(masked_network(source), start)
    load_weights(fold, whole / "last.weights.h5")
    learned, found = values(shared_layers(source)), values(fold.layers)
    for name in learned:
        if name.endswith("kernel"):
            np.testing.assert_allclose(found[name], learned[name], atol=1e-6, err_msg=name)
    fit_fold(FoldRun(settings, 0, killed, "x", pretrained=start), DATA)
    assert_same(whole, killed)
