"""The checkpoint of a training: all of it is restored, or nothing of it is used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.artifacts.backup import STATE
from pipeline.training import checkpoint
from pipeline.training.checkpoint import Checkpoint

pytestmark = pytest.mark.backends
HISTORY = [{"epoch": 1, "score": 0.5}, {"epoch": 2, "score": 0.4}]
AVERAGE = [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(3, np.float32)]
BEST = [np.arange(4.0), np.ones((2, 2))]
FLIPS = int(os.environ.get("FUZZ_EXAMPLES", "60"))
"""Bits of each file that are flipped, one at a time."""


def network(answers: int = 1, optimizer: str = "adam", precision: str = "float32") -> keras.Model:
    """A compiled network with every kind of state: weights, batch statistics, random state, moments."""
    layers, before = keras.layers, keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(3), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(answers)]
    )
    keras.config.set_dtype_policy(before)
    model.compile(optimizer=optimizer, loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def train(model: keras.Model, steps: int = 2) -> None:
    for _ in range(steps):
        model.train_on_batch(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))


def state(model: keras.Model) -> list[np.ndarray]:
    """Everything that a resumed training depends on."""
    metrics = {id(each) for each in model.metrics_variables}
    variables = [each for each in model.variables if id(each) not in metrics] + list(model.optimizer.variables)
    return [np.array(keras.ops.convert_to_numpy(each.value)) for each in variables]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    """A folder with the state of a trained network and the weights of its best epoch; tests copy it. And the state."""
    model, folder = network(), tmp_path_factory.mktemp("saved")
    train(model)
    kept = Checkpoint(folder, "x")
    kept.save_best(BEST, 0)
    kept.save(model, HISTORY, best_epochs=[0], average=AVERAGE)
    return folder, state(model)


@pytest.fixture
def folder(saved: tuple[Path, list[np.ndarray]], tmp_path: Path) -> Path:
    """A copy of the folder of ``saved``."""
    shutil.copytree(saved[0], tmp_path / "saved")
    return tmp_path / "saved"


def test_the_whole_state_is_restored(saved: tuple[Path, list[np.ndarray]], folder: Path):
    _, wanted = saved
    model = network()
    assert not same(state(model), wanted)
    history, average = Checkpoint(folder, "x").restore(model)
    assert history == HISTORY
    assert same(average, AVERAGE)
    assert same(state(model), wanted)
    assert same(Checkpoint(folder, "x").load_best(0), BEST)
    assert checkpoint.epochs_done(folder) == 2


def test_a_restored_training_continues_as_the_original(tmp_path: Path):
    whole, again = network(), network()
    kept = Checkpoint(tmp_path, "x")
    train(whole)
    kept.save(whole, HISTORY, best_epochs=[])
    train(whole, 3)
    kept.restore(again)
    train(again, 3)
    assert same(state(again), state(whole))


def unscaled(model: keras.Model) -> list[np.ndarray]:
    """``state`` without the scale of the loss."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    whole, own = state(model), len(model.optimizer.variables)
    return whole[:-own] + whole[len(whole) - len(optimizer.variables) :]


@pytest.mark.parametrize("precisions", [("mixed_bfloat16", "mixed_float16"), ("mixed_float16", "float32")])
def test_a_training_continues_in_another_precision(tmp_path: Path, precisions: tuple[str, str]):
    before, after = (network(precision=each) for each in precisions)
    assert len(state(after)) - len(state(before)) in (checkpoint.LOSS_SCALE, -checkpoint.LOSS_SCALE)
    kept = Checkpoint(tmp_path, "x")
    train(before, 20)
    kept.save(before, HISTORY, best_epochs=[], average=AVERAGE)
    history, average = kept.restore(after)
    assert history == HISTORY
    assert same(average, AVERAGE)
    assert same(unscaled(after), unscaled(before))
    if precisions[1] == "mixed_float16":
        assert float(after.optimizer.dynamic_scale) == after.optimizer.initial_scale
    train(after, 20)  # the first steps in float16 are left out, until the scale is small enough
    assert int(after.optimizer.iterations) > int(before.optimizer.iterations)


def test_the_scale_of_the_loss_is_restored_where_both_have_one(tmp_path: Path):
    whole, again = network(precision="mixed_float16"), network(precision="mixed_float16")
    whole.optimizer.dynamic_scale.assign(256.0)
    Checkpoint(tmp_path, "x").save(whole, HISTORY, best_epochs=[])
    assert Checkpoint(tmp_path, "x").restore(again)[0] == HISTORY
    assert same(state(again), state(whole))


def test_a_state_that_is_set_aside_is_not_overwritten(folder: Path, tmp_path: Path):
    assert Checkpoint(tmp_path, "x").set_aside() is None
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    kept = Checkpoint(folder, "x")
    assert kept.set_aside() == folder / "unusable-state.npz"
    assert kept.set_aside() is None
    kept.save(network(), HISTORY[:1], best_epochs=[])
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != STATE}
    assert after == {f"unusable-{name}": content for name, content in before.items()}


@pytest.mark.parametrize(
    "change",
    [
        *("identity", "no state", "empty state", "no archive", "half a state"),
        *("no best", "half a best", "another last layer", "another optimizer"),
    ],
)
def test_a_state_that_does_not_fit_is_not_used_and_the_model_is_unchanged(folder: Path, change: str):
    identity, model, written = "x", network(), folder / STATE
    best = Checkpoint(folder, "x").best_path(0)
    if change == "identity":
        identity = "y"
    elif change == "no state":
        written.unlink()
    elif change == "empty state":
        written.write_bytes(b"")
    elif change == "no archive":
        written.write_bytes(b"not a zip")
    elif change == "half a state":
        written.write_bytes(written.read_bytes()[: written.stat().st_size // 2])
    elif change == "no best":
        best.unlink()
    elif change == "half a best":
        best.write_bytes(best.read_bytes()[:-30])
    elif change == "another last layer":
        model = network(answers=2)  # the layers before it would fit
    else:
        model = network(optimizer="sgd")  # its variables have the shapes of the first ones of Adam
    before = state(model)
    assert Checkpoint(folder, identity).restore(model) == ([], [])
    assert same(state(model), before)


def test_weights_that_the_state_no_longer_names_are_removed(tmp_path: Path):
    kept, model = Checkpoint(tmp_path, "x"), network()
    for epoch, best in ((0, [0]), (1, [0, 1]), (2, [2])):
        kept.save_best([np.full(3, epoch)], epoch)
        assert kept.best_path(epoch).is_file()
        kept.save(model, HISTORY[:1], best)
        assert sorted(path.name for path in tmp_path.glob("best-*")) == [f"best-{each}.npz" for each in best]
    assert same(kept.load_best(2), [np.full(3, 2)])


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_a_state_that_cannot_be_read_has_no_epochs(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / STATE).write_bytes(content)
    assert checkpoint.epochs_done(tmp_path) == 0


@pytest.mark.fuzz
def test_nothing_of_a_state_with_a_flipped_bit_is_used(tmp_path: Path):
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
