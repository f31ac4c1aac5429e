"""The CSV that Kaggle accepts: how it is made, written and checked."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline import config
from pipeline.artifacts import Layout
from pipeline.config import UserError
from pipeline.data import rle
from pipeline.scoring import blend
from pipeline.scoring.postprocess import PostProcessing
from pipeline.stages import submit
from pipeline.submission import csv_file as submission
from tests.conftest import blobs

IDS = [f"tile{index}" for index in range(9)]


@pytest.fixture
def masks() -> np.ndarray:
    return blobs(9)[1] > 0


def written(path: Path, masks: np.ndarray) -> Path:
    submission.write(path, IDS, iter([masks[:5], masks[5:]]))
    return path


def test_a_written_file_passes_the_check(tmp_path: Path, masks: np.ndarray):
    path = written(tmp_path / "s.csv", masks)
    assert submission.check(path, IDS, iter([masks])) == 6
    lines = path.read_text().splitlines()
    assert lines == ["id,rle_mask", *(f"{name},{text}" for name, text in zip(IDS, rle.encode(masks), strict=True))]
    assert lines[1] == "tile0,"


def test_a_csv_is_checked_a_chunk_of_masks_at_a_time(tmp_path: Path, masks: np.ndarray):
    path = written(tmp_path / "s.csv", masks)
    chunks = [masks[:2], masks[2:3], masks[3:]]
    assert submission.check(path, IDS, iter(chunks)) == 6
    for wrong in range(9):
        other = masks.copy()
        other[wrong, 50, 50] ^= True
        with pytest.raises(UserError, match=f"s.csv: tile tile{wrong} does not decode to its predicted mask"):
            submission.check(path, IDS, iter([other[:2], other[2:3], other[3:]]))
    with pytest.raises(UserError, match="9 rows for 8 predicted masks"):
        submission.check(path, IDS, iter([masks[:8]]))


def test_the_choice_of_the_validation_is_read_back(tmp_path: Path):
    how = PostProcessing(0.45, 30, ("fill_holes", "empty_gate"), 0.8)
    path = tmp_path / "choice.json"
    path.write_text(json.dumps({**asdict(how), "votes": {"a": 2, "b": 1}}))
    assert submission.read_choice(path) == (how, {"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lines: ["id,mask", *lines[1:]], "first line"),
        (lambda lines: [*lines[:1], lines[2], lines[1], *lines[3:]], "row 1"),
        (lambda lines: lines[:-1], "rows are missing"),
        (lambda lines: [*lines, "tile9,"], "10 rows"),
        (lambda lines: [*lines[:2], "tile1,1 0", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "tile1,5 3 1 2", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "tile1,10201 2", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "tile1,1 5", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "tile1", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], f"{lines[2]},1", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "", *lines[2:]], "10 rows"),
        (lambda lines: [], "first line"),
    ],
)
def test_every_error_is_found(tmp_path: Path, masks: np.ndarray, edit, message: str):
    path = written(tmp_path / "s.csv", masks)
    path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")
    with pytest.raises(UserError, match=message):
        submission.check(path, IDS, iter([masks]))


def test_folds_are_averaged_to_the_nearest():
    folds = [np.full((3, 101, 101), value, np.uint8) for value in (10, 11, 255)]
    assert blend.average(folds, 1, 3).shape == (2, 101, 101)
    assert (blend.average(folds, 0, 3) == 92).all()
    assert (blend.average(folds[2:], 0, 1) == 255).all()


def test_the_test_tiles_are_averaged_with_the_votes_and_follow_the_rules(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(submission, "TILES_AT_ONCE", 2)
    images, truth = blobs(5)
    images[4] = 0
    one, other = np.full(truth.shape, 60, np.uint8), np.where(truth, 255, 60).astype(np.uint8)
    how = PostProcessing(0.5, 0, ("constant_empty",))
    progress: list[int] = []
    masks = np.concatenate([*submission.predicted_masks([one, other], images, how, [1, 3], progress.append)])
    expected = truth > 0
    expected[4] = False
    np.testing.assert_array_equal(masks, expected)
    assert progress == [2, 4, 5]
    assert not np.concatenate([*submission.predicted_masks([one, other], images, how, [3, 1])]).any()


def test_the_test_tiles_get_the_chosen_threshold_and_area():
    fold = np.zeros((2, 101, 101), np.uint8)
    fold[0, :10, :10], fold[1, :30, :30] = 200, 200
    (found,) = submission.predicted_masks([fold], fold, PostProcessing(threshold=0.6, min_area=150))
    assert found.sum(axis=(1, 2)).tolist() == [0, 900]
    (found,) = submission.predicted_masks([fold], fold, PostProcessing(threshold=0.9, min_area=0))
    assert not found.any()


@pytest.mark.parametrize("typed", ["2018-10-01", "1.0", "[x]", "two  words", "a#b"])
def test_the_message_to_kaggle_holds_exactly_what_was_typed(tmp_path: Path, typed: str):
    settings = config.load("unet", [f"submit.message={typed}"])
    layout = Layout(tmp_path, "tgs", "unet", settings)
    assert submit.message(layout, tuple(layout.folds), 0.5, "mark") == f"unet CV 0.5000 {typed} mark"


def test_the_message_to_kaggle_is_one_line(tmp_path: Path):
    layout = Layout(tmp_path, "tgs", "unet", config.load("unet", ['submit.message="one\\ntwo "']))
    assert submit.message(layout, tuple(layout.folds), 0.5, "mark") == "unet CV 0.5000 one two mark"
