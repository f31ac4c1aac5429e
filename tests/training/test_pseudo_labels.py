"""Pseudo-labels: the tiles behind the labelled ones, training on them, and removal of their files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import Artifact, backup_folder, remove_backup
from pipeline.config import UserError
from pipeline.training.fold import LabelledTiles, UnlabelledTiles
from pipeline.training.pseudo_labels import FOLDER, PseudoLabels
from tests.conftest import Chain, blobs
from tests.training.helpers import STEPS, StepRecorder, assert_same, history, train_fold


@pytest.mark.parametrize(("count", "predicted"), [(6, 8), (100, 20)])
def test_labelled_tiles_are_followed_by_test_tiles(tmp_path: Path, count: int, predicted: int):
    images, masks = blobs(5)
    others, truth = blobs(20, seed=1)
    labelled = LabelledTiles(images, masks, np.arange(5, dtype=np.float32))
    unlabelled = UnlabelledTiles(others, 100 + np.arange(20, dtype=np.float32))
    pseudo = PseudoLabels(labelled, unlabelled, count, 0.75, 0, tmp_path / "pseudo")
    asked: list[set[int]] = []

    def predict(chosen: np.ndarray, depths: np.ndarray | None) -> np.ndarray:
        assert depths is not None
        which = (depths - 100).astype(int)
        np.testing.assert_array_equal(others[which], chosen)
        asked.append({*which.tolist()})
        return truth[which] * np.uint8(255)

    for epoch in (3, 4, 3):
        rows = pseudo.renew(epoch, predict)
        tiles = pseudo.tiles
        assert len(asked[-1]) == predicted
        np.testing.assert_array_equal(tiles.images[:5], images)
        np.testing.assert_array_equal(tiles.masks[:5], masks)
        assert tiles.depths is not None
        which = (tiles.depths[rows] - 100).astype(int)
        assert {*which.tolist()} <= asked[-1]
        np.testing.assert_array_equal(tiles.images[rows], others[which])
        np.testing.assert_array_equal(tiles.masks[rows], truth[which])
    assert asked[0] == asked[2]
    assert (asked[0] != asked[1]) == (predicted < 20)


@pytest.mark.backends
def test_epochs_with_pseudo_labels_have_the_same_length_and_repeat_with_any_number_of_workers(tmp_path: Path):
    settings = (
        "train.pseudo_fraction=0.5",
        "train.pseudo_start=0.5",
        "train.pseudo_keep_fraction=0.8",
        "train.learning_rate=0.03",
    )
    recorder = StepRecorder()
    train_fold(tmp_path / "one", *settings, callback=recorder)
    assert {(epoch, steps) for epoch, _, steps in recorder.calls} == {(epoch, STEPS) for epoch in range(4)}
    counts = [int(row["pseudo_labels"]) for row in history(tmp_path / "one")]
    assert counts[:2] == [0, 0]
    assert all(10 <= count <= 14 for count in counts[2:])  # half of 28, less one tile of each kind
    train_fold(tmp_path / "two", *settings, "train.workers=2")
    assert_same(tmp_path / "one", tmp_path / "two")
    train_fold(tmp_path / "none", "train.learning_rate=0.03")
    assert "pseudo_labels" not in history(tmp_path / "none")[0]
    losses = [[row["loss"] for row in history(tmp_path / name)] for name in ("one", "none")]
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][2] != losses[1][2]


@pytest.mark.backends
def test_files_of_a_killed_run_are_removed_with_its_backup(tmp_path: Path):
    left = tmp_path / "backup-x" / FOLDER / "images.npy"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a killed run")
    train_fold(tmp_path, "train.epochs=2", "train.pseudo_fraction=0.5", "train.pseudo_start=0.5")
    assert not left.parent.exists()
    trained = Artifact("train fold 0", "train", tmp_path, "train.json", ())
    left = backup_folder(trained) / FOLDER / "images.npy"
    left.parent.mkdir(parents=True)
    remove_backup(trained)
    assert not left.parent.parent.exists()


@pytest.mark.backends
def test_a_full_disk_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        train_fold(tmp_path, "train.pseudo_fraction=0.5")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.backends
def test_a_share_of_less_than_one_tile_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"train\.pseudo_fraction = 0\.01 of 28 tiles is none"):
        train_fold(tmp_path, "train.pseudo_fraction=0.01")


@pytest.mark.slow
def test_the_chain_trains_on_its_own_test_tiles(chain: Chain):
    assert chain("train", "--folds", "0", "--set", "train.pseudo_fraction=0.2 train.pseudo_start=0") == 0
    folder = chain.root / "data/demo/experiments/demo/fold-0"
    assert "pseudo_labels" in (folder / "history.csv").read_text().splitlines()[0]
    assert chain("train", "--set", "train.pseudo_fraction=1.5") == 2
    assert "pseudo_fraction" in chain.error
