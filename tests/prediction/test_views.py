"""Test-time augmentation: what each view shows the network, and that its output is mapped back to the tile."""

from __future__ import annotations

from functools import cache
from typing import get_args

import keras
import numpy as np
import pytest

from pipeline.config import InputSettings, ViewName
from pipeline.data.input_transform import InputTransform
from pipeline.prediction.predictor import Predictor
from pipeline.prediction.views import GAMMA, make_views
from tests.conftest import blobs
from tests.prediction.pixelwise import PAD, RESIZE, expected, pixelwise

pytestmark = pytest.mark.backends

# No sharp edges, which a zoom and its inverse would blur; all rows, columns and halves differ.
ROWS, COLUMNS = np.mgrid[:101, :101]
WAVES = [128 + 50 * np.sin(COLUMNS / 17 + each) + 50 * np.cos(ROWS / 23) for each in range(5)]
SMOOTH = np.stack(WAVES).astype(np.uint8)


@cache
def predictor(settings: InputSettings, pooled: bool) -> Predictor:
    """One for all tests, so that the graph of each view is traced once."""
    return Predictor(pixelwise(pooled), InputTransform(settings), batch=8)


def predict(images: np.ndarray, *views: str, settings: InputSettings = PAD, pooled: bool = False) -> np.ndarray:
    return predictor(settings, pooled)(images, np.empty(images.shape, np.uint8), views).astype(int)


@pytest.mark.parametrize("view", ["plain", "flip", "shift", "zoom_in", "zoom_out"])
def test_the_output_is_mapped_back_to_the_tile(view: str):
    assert np.abs(predict(SMOOTH, view) - expected(SMOOTH)).max() <= (2 if "zoom" in view else 0)


@pytest.mark.parametrize("view", ["plain", "flip", "zoom_out"])
def test_the_output_is_mapped_back_to_a_resized_tile(view: str):
    assert np.abs(predict(SMOOTH, view, settings=RESIZE) - expected(SMOOTH)).max() <= 2


@pytest.mark.parametrize(("view", "gamma"), [("brighter", GAMMA), ("darker", 1 / GAMMA)])
def test_gamma_changes_the_grey_values(view: str, gamma: float):
    assert np.abs(predict(SMOOTH, view) - expected(255 * (SMOOTH / 255) ** gamma)).max() <= 1
    assert (predict(SMOOTH, "brighter") > predict(SMOOTH, "darker")).all()


@pytest.mark.parametrize("view", ["flip", "shift", "zoom_in", "zoom_out"])
def test_a_network_that_sees_a_neighbourhood_predicts_differently(view: str):
    images = blobs(5)[0]
    assert np.abs(predict(images, view, pooled=True) - predict(images, "plain", pooled=True)).max() > 20


def test_shift_moves_a_tile_by_three_pixels_into_the_mirrored_margin():
    plain, shift = make_views(["plain", "shift"], InputTransform(PAD))
    assert (plain.at_input, plain.at_output) == ((5, 6), 5)
    assert (shift.at_input, shift.at_output) == ((8, 3), 8)
    image = blobs(2)[0][1:].astype(np.float32)
    shifted = np.asarray(keras.ops.convert_to_numpy(shift.to_input(keras.ops.convert_to_tensor(image[..., None]))))
    np.testing.assert_array_equal(shifted[0, ..., 0], np.pad(image[0], (8, 3), mode="reflect"))
    # Less where the margin is smaller.
    (near,) = make_views(["shift"], InputTransform(InputSettings(size=103)))
    assert (near.at_input, near.at_output) == ((2, 0), 2)


@pytest.mark.parametrize(("size", "enlarged"), [(128, 111), (112, 111), (104, 104)])
def test_zoom_in_enlarges_by_a_tenth_at_most_to_the_side_of_the_output(size: int, enlarged: int):
    settings = InputSettings(size=size)
    found = make_views(["zoom_in", "zoom_out"], InputTransform(settings))
    assert [view.side for view in found] == [enlarged, 91]
    assert np.abs(predict(SMOOTH, "zoom_in", settings=settings) - expected(SMOOTH)).max() <= 2


def test_all_views_together_are_the_mean_of_each_alone():
    views = get_args(ViewName)
    images = blobs(5)[0]
    mean = np.mean([predict(images, view, pooled=True) for view in views], axis=0)
    assert np.abs(predict(images, *views, pooled=True) - mean).max() <= 1
