"""The tiles that a fold is trained and scored on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.config import UserError, load
from pipeline.data.tiles import Tiles
from pipeline.execution.fold import fold_data

FOLDS = np.array([0, 0, 1, 1, 1])


def tiles(constant: list[bool]) -> Tiles:
    images = np.zeros((5, 101, 101), np.uint8)
    depths = pd.DataFrame({"depth": [100.0] * 5})
    train = depths.assign(constant=constant, coverage=[0.5, 0.001, 0.001, 0.5, 0.0])
    return Tiles(images, images, images, train, depths)


def test_excluded_tiles_are_not_trained_on_but_scored():
    mixed = tiles([True, False, False, True, False])
    for exclude, training in (("[]", [2, 3, 4]), ("[constant]", [2, 4]), ("[tiny,constant]", [4])):
        data = fold_data(load("unet", [f"train.exclude={exclude}"]), 0, mixed, FOLDS)
        assert data.training.tolist() == training
        assert data.validation.tolist() == [0, 1]


def test_a_fold_without_tiles_to_train_on_is_refused():
    with pytest.raises(UserError, match=r"leaves no tile to train fold 0 on; set train\.exclude=\[\]"):
        fold_data(load("unet", ["train.exclude=[constant]"]), 0, tiles([True] * 5), FOLDS)
