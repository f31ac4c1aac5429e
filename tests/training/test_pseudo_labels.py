"""Pseudo-labels: which test tiles a student is trained on, with which labels, and the removal of their files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest

from pipeline.artifacts import Artifact, backup_folder, remove_backup
from pipeline.config import LossName, StudentSettings, UserError
from pipeline.network.losses import make_loss
from pipeline.training.batches import Batches
from pipeline.training.fold import FoldData, LabelledTiles, UnlabelledTiles
from pipeline.training.pseudo_labels import FOLDER, PseudoLabels, certain_tiles, coverage_classes
from tests.network.losses.helpers import value
from tests.training.helpers import LABELLED, STUDENT, TRAINING, StepRecorder, assert_same, history, train_fold


def constant(*values: int) -> np.ndarray:
    """Tiles of 10 x 10 pixels with one value each."""
    return np.array(values, np.uint8)[:, None, None] * np.ones((1, 10, 10), np.uint8)


def covered(*rows: int) -> np.ndarray:
    """Tiles of 10 x 10 pixels whose first rows are salt, as probabilities."""
    tiles = np.zeros((len(rows), 10, 10), np.uint8)
    for tile, count in zip(tiles, rows, strict=True):
        tile[:count] = 255
    return tiles


def student_of(
    *probabilities: np.ndarray, labelled: np.ndarray, folder: Path, **settings: object
) -> tuple[PseudoLabels, FoldData]:
    """Pseudo-labels of test tiles whose grey value is their number."""
    count = len(probabilities[0])
    images = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((1, 10, 10), np.uint8)
    unlabelled = UnlabelledTiles(images, 1000 + np.arange(count, dtype=np.float32), probabilities)
    tiles = LabelledTiles(np.full(labelled.shape, 200, np.uint8), labelled // 255, np.zeros(len(labelled), np.float32))
    data = FoldData(tiles, np.arange(len(labelled)), np.zeros(0, int), unlabelled)
    return PseudoLabels(StudentSettings(teachers=("a",), **settings), data, unlabelled, 0, folder), data  # type: ignore[arg-type]


def test_tiles_with_too_many_uncertain_pixels_are_left_out():
    half = constant(128)
    almost, enough = covered(5), covered(5)
    almost[0, 0], enough[0, 0] = 128, 128  # ten of a hundred pixels
    almost[0, 1, 0] = 128
    tiles = np.concatenate([constant(0, 255), half, almost, enough, constant(51, 52)])
    assert certain_tiles([tiles], StudentSettings()).tolist() == [0, 1, 4, 5]
    assert certain_tiles([tiles], StudentSettings(certain_pixels=0.89)).tolist() == [0, 1, 3, 4, 5]
    assert certain_tiles([tiles], StudentSettings(uncertain=(0.4, 0.6))).tolist() == [0, 1, 4, 5, 6]


def test_teachers_that_disagree_are_uncertain_together():
    one, other = constant(0, 255, 255), constant(0, 0, 255)
    assert certain_tiles([one], StudentSettings()).tolist() == [0, 1, 2]
    assert certain_tiles([one, other], StudentSettings()).tolist() == [0, 2]


def test_labels_are_the_mean_probabilities_behind_the_labelled_tiles(tmp_path: Path):
    one, other = constant(10, 128, 240), constant(21, 128, 250)
    labelled = covered(0, 10, 4)
    pseudo, data = student_of(one, other, labelled=labelled, folder=tmp_path / "x", balance="none")
    tiles = pseudo.tiles
    np.testing.assert_array_equal(tiles.images[:3], data.tiles.images)
    np.testing.assert_array_equal(tiles.masks[:3], labelled)
    assert tiles.images[3:, 0, 0].tolist() == [0, 2]
    assert tiles.masks[3:, 0, 0].tolist() == [16, 245]
    assert tiles.depths is not None
    assert tiles.depths.tolist() == [0, 0, 0, 1000, 1002]
    assert tiles.salt == 255


def test_an_epoch_draws_classes_of_coverage_as_asked_and_no_tile_twice(tmp_path: Path):
    # 20 test tiles without salt, 6 with a little, 2 that are almost full; labelled: half empty, half with a little.
    found = covered(*[0] * 20, *[1] * 6, *[9] * 2)
    labelled = covered(*[0] * 8, *[1] * 8)

    def drawn(balance: str, fraction: float, epoch: int = 0) -> list[int]:
        pseudo, _ = student_of(found, labelled=labelled, folder=tmp_path / balance, balance=balance, fraction=fraction)
        rows = pseudo.rows(epoch)
        assert len({*rows.tolist()}) == len(rows) == len(pseudo)
        assert (rows >= len(labelled)).all()
        return np.bincount(coverage_classes(pseudo.tiles.masks[rows]), minlength=11).tolist()

    assert drawn("labelled", 0.5) == [4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert drawn("labelled", 0.9) == [7, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0]  # there are no more
    assert drawn("equal", 0.4) == [2, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0]
    assert drawn("none", 0.9) == [10, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    # Four classes of one labelled tile each: 0.3 of them is one tile in all, and 0.6 two, not none or one of each.
    pseudo, _ = student_of(
        covered(0, 1, 3, 5), labelled=covered(0, 1, 3, 5), folder=tmp_path / "few", balance="labelled", fraction=0.3
    )
    assert len(pseudo) == 1
    pseudo, _ = student_of(
        covered(0, 1, 3, 5), labelled=covered(0, 1, 3, 5), folder=tmp_path / "most", balance="labelled", fraction=0.6
    )
    assert len(pseudo) == 2
    pseudo, _ = student_of(found, labelled=labelled, folder=tmp_path / "again", fraction=0.5)
    assert pseudo.rows(3).tolist() == pseudo.rows(3).tolist() != pseudo.rows(4).tolist()


def test_without_a_certain_tile_the_student_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"student\.certain_pixels = 0\.9: none of 3 test tiles .* lower"):
        student_of(constant(128, 128, 128), labelled=covered(0, 5), folder=tmp_path)
    with pytest.raises(UserError, match=r"student\.fraction = 0\.1 of 2 tiles is none"):
        student_of(constant(0), labelled=covered(0, 5), folder=tmp_path, fraction=0.1)
    with pytest.raises(UserError, match=r"student\.balance = labelled: no labelled tile .* 2 certain .*balance=none"):
        student_of(constant(0, 0), labelled=covered(5, 9), folder=tmp_path)


# ---- Training a student ---------------------------------------------------------------------------------------------

SEEDED = (
    *(STUDENT, "student.end=0.5", "train.epochs=2", "train.learning_rate=0.03"),
    "train.batch_size=7",  # a divisor of the tiles: the batches of an epoch hold all of them
    f"train.seed={2**31 - 1}",  # the largest: that of the fold is a multiple of it, which exceeds 32 bits
)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two epochs, the second without test tiles: the steps, and the batches of each epoch."""
    folder, steps, epochs = tmp_path_factory.mktemp("student"), StepRecorder(), list[list[tuple[np.ndarray, ...]]]()
    left = folder / "backup-x" / FOLDER / "images.npy"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a killed run")
    ahead = Batches.ahead

    def recorded(batches: Batches) -> Iterator[tuple[np.ndarray, ...]]:
        epochs.append([])
        for batch in ahead(batches):
            epochs[-1].append(batch)
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "ahead", recorded)
        train_fold(folder, *SEEDED, callback=steps, data=LABELLED)
    counts = [int(row["pseudo_labels"]) for row in history(folder)]
    return SimpleNamespace(folder=folder, left=left, steps=steps.calls, batches=epochs, counts=counts)


@pytest.mark.backends
def test_epochs_have_the_same_length_repeat_with_any_number_of_workers_and_end_with_labelled_tiles(
    student: SimpleNamespace, tmp_path: Path
):
    assert not student.left.parent.exists()
    assert {(epoch, steps) for epoch, _, steps in student.steps} == {(0, 4), (1, 4)}
    assert 12 <= student.counts[0] <= 15  # half of 28, rounded in each class
    assert student.counts[1] == 0
    train_fold(tmp_path, *SEEDED, "train.workers=2", data=LABELLED)
    assert_same(student.folder, tmp_path)


@pytest.mark.backends
def test_the_teachers_probabilities_are_the_targets_of_their_tiles(student: SimpleNamespace):
    assert len(student.batches) == len(student.counts)
    for batches, count in zip(student.batches, student.counts, strict=True):
        images, targets = (np.concatenate(each)[..., 0] for each in zip(*batches, strict=True))
        assert len(images) == len(TRAINING)
        soft = targets.min(axis=(1, 2)) > 0
        assert soft.sum() == count
        for chosen, values in ((soft, [26 / 255, 230 / 255]), (~soft, [0, 1])):
            if chosen.any():
                np.testing.assert_allclose(np.unique(targets[chosen]), values, rtol=1e-6)
            with_salt = [(image, target > 0.5) for image, target in zip(images[chosen], targets[chosen], strict=True)]
            with_salt = [(image, salt) for image, salt in with_salt if salt.any()]
            assert 2 * len(with_salt) >= chosen.sum()
            # The tiles' discs of salt are brighter by 80, times the random contrast.
            assert all(image[salt].mean() > image[~salt].mean() + 50 for image, salt in with_salt)


@pytest.mark.backends
@pytest.mark.parametrize("name", get_args(LossName))
def test_a_loss_follows_soft_labels(name: LossName):
    # As much salt as background: a loss to which all pixels are the same class has the same value for both.
    labels = np.where(np.arange(16).reshape(1, 4, 4, 1) % 2, 230 / 255, 26 / 255).astype(np.float32)
    right, wrong = (value(make_loss(name), labels, sign * 2 * np.sign(labels - 0.5)) for sign in (1, -1))
    assert right < wrong - 0.2


def test_files_of_a_killed_run_are_removed_with_its_backup(tmp_path: Path):
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
        train_fold(tmp_path, STUDENT, data=LABELLED)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
