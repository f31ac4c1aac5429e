"""Masks of the test tiles, from the choice of the validation and the networks' probabilities."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline.scoring import blend
from pipeline.scoring.neighbors import Neighbors
from pipeline.scoring.postprocess import PostProcessing
from pipeline.submission import masks
from pipeline.submission.masks import predicted_masks, read_choice
from tests.conftest import blobs


def test_the_choice_of_the_validation_is_read_back(tmp_path: Path):
    how = PostProcessing(0.45, 30, ("fill_holes", "empty_gate"), 0.8)
    path = tmp_path / "choice.json"
    path.write_text(json.dumps({**asdict(how), "votes": {"a": 2, "b": 1}}))
    assert read_choice(path) == (how, {"a": 2, "b": 1})


def test_folds_are_averaged_to_the_nearest():
    folds = [np.full((3, 101, 101), value, np.uint8) for value in (10, 11, 255)]
    assert blend.average(folds, 1, 3).shape == (2, 101, 101)
    assert (blend.average(folds, 0, 3) == 92).all()
    assert (blend.average(folds[2:], 0, 1) == 255).all()


def test_the_test_tiles_are_averaged_with_the_votes_and_follow_the_rules(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(masks, "TILES_AT_ONCE", 2)
    images, truth = blobs(5)
    images[4] = 0
    one, other = np.full(truth.shape, 60, np.uint8), np.where(truth, 255, 60).astype(np.uint8)
    how = PostProcessing(0.5, 0, ("constant_empty",))
    progress: list[int] = []
    found = np.concatenate([*predicted_masks([one, other], images, how, [1, 3], progress.append)])
    expected = truth > 0
    expected[4] = False
    np.testing.assert_array_equal(found, expected)
    assert progress == [2, 4, 5]
    assert not np.concatenate([*predicted_masks([one, other], images, how, [3, 1])]).any()


def test_each_test_tile_follows_its_own_neighbour(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(masks, "TILES_AT_ONCE", 2)
    images, truth = blobs(5)
    found, how = np.full(truth.shape, 200, np.uint8), PostProcessing(0.5, 0, ("neighbor_empty",))
    none, labelled = np.full(5, -1), np.zeros((2, 101, 101), np.uint8)
    labelled[1, :, :50] = 1
    around = Neighbors(np.array([-1, 1, -1, 0, -1]), none, none, labelled)
    with_rule = np.concatenate([*predicted_masks([found], images, how, neighbors=around)])
    assert with_rule.all(axis=(1, 2)).tolist() == [True, True, True, False, True]
    assert np.concatenate([*predicted_masks([found], images, how)]).all()


def test_the_test_tiles_get_the_chosen_threshold_and_area():
    fold = np.zeros((2, 101, 101), np.uint8)
    fold[0, :10, :10], fold[1, :30, :30] = 200, 200
    (found,) = predicted_masks([fold], fold, PostProcessing(threshold=0.6, min_area=150))
    assert found.sum(axis=(1, 2)).tolist() == [0, 900]
    (found,) = predicted_masks([fold], fold, PostProcessing(threshold=0.9, min_area=0))
    assert not found.any()
