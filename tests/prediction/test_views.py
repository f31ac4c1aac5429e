"""Test-time augmentation: what each view shows the network, and that its answer comes back to where it belongs."""

from __future__ import annotations

from typing import get_args

import keras
import numpy as np
import pytest

from pipeline.config import InputSettings, UserError, ViewName
from pipeline.data.input_transform import InputTransform
from pipeline.prediction.predictor import Predictor
from pipeline.prediction.views import GAMMA, make_views
from tests.conftest import blobs

pytestmark = pytest.mark.backends

SLOPE, MIDDLE = 0.02, 128.0
PAD, RESIZE = InputSettings(size=112), InputSettings(fit="resize", size=128)
# Without sharp edges, which a zoom there and back would blur; no two rows, columns or halves are alike.
ROWS, COLUMNS = np.mgrid[:101, :101]
WAVES = [128 + 50 * np.sin(COLUMNS / 17 + each) + 50 * np.cos(ROWS / 23) for each in range(5)]
SMOOTH = np.stack(WAVES).astype(np.uint8)


def pixelwise(pooled: bool = False) -> keras.Model:
    """A network that answers each pixel by its own grey value, or by the largest of its 4 x 4 neighbourhood."""
    image = keras.Input((None, None, 1))
    x = keras.layers.MaxPooling2D(4)(image) if pooled else image
    x = keras.layers.UpSampling2D(4)(x) if pooled else x
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(x))
    model.layers[-1].set_weights([np.full((1, 1, 1, 1), SLOPE), np.array([-SLOPE * MIDDLE])])
    return model


def answers(images: np.ndarray, *views: str, settings: InputSettings = PAD, pooled: bool = False) -> np.ndarray:
    found = Predictor(pixelwise(pooled), InputTransform(settings), batch=8)(
        images, np.empty(images.shape, np.uint8), views
    )
    return found.astype(int)


def expected(grey: np.ndarray) -> np.ndarray:
    return np.rint(255 / (1 + np.exp(-SLOPE * (grey - MIDDLE)))).astype(int)


@pytest.mark.parametrize("view", ["plain", "flip", "shift", "zoom_in", "zoom_out"])
def test_an_answer_comes_back_to_where_it_belongs(view: str):
    assert np.abs(answers(SMOOTH, view) - expected(SMOOTH)).max() <= (2 if "zoom" in view else 0)


@pytest.mark.parametrize("view", ["plain", "flip", "zoom_out"])
def test_it_comes_back_where_a_tile_is_resized_as_well(view: str):
    assert np.abs(answers(SMOOTH, view, settings=RESIZE) - expected(SMOOTH)).max() <= 2


@pytest.mark.parametrize(("view", "gamma"), [("brighter", GAMMA), ("darker", 1 / GAMMA)])
def test_gamma_changes_what_the_network_sees(view: str, gamma: float):
    assert np.abs(answers(SMOOTH, view) - expected(255 * (SMOOTH / 255) ** gamma)).max() <= 1
    assert (answers(SMOOTH, "brighter") > answers(SMOOTH, "darker")).all()


@pytest.mark.parametrize("view", ["flip", "shift", "zoom_in", "zoom_out"])
def test_a_network_that_looks_around_a_pixel_sees_another_picture(view: str):
    images = blobs(4)[0]
    assert np.abs(answers(images, view, pooled=True) - answers(images, "plain", pooled=True)).max() > 20


def test_a_tile_is_moved_by_three_pixels_into_a_mirrored_margin():
    plain, shift = make_views(["plain", "shift"], InputTransform(PAD))
    assert (plain.at_input, plain.at_output) == ((5, 6), 5)
    assert (shift.at_input, shift.at_output) == ((8, 3), 8)
    image = blobs(2)[0][1:].astype(np.float32)
    entered = np.asarray(keras.ops.convert_to_numpy(shift.enter(keras.ops.convert_to_tensor(image[..., None]))))
    np.testing.assert_array_equal(entered[0, ..., 0], np.pad(image[0], (8, 3), mode="reflect"))
    # Where there is less room, as far as there is.
    (near,) = make_views(["shift"], InputTransform(InputSettings(size=103)))
    assert (near.at_input, near.at_output) == ((2, 0), 2)


@pytest.mark.parametrize(("size", "enlarged"), [(128, 111), (112, 111), (104, 104)])
def test_a_tile_is_enlarged_by_a_tenth_as_far_as_the_network_answers(size: int, enlarged: int):
    settings = InputSettings(size=size)
    found = make_views(["zoom_in", "zoom_out"], InputTransform(settings))
    assert [view.side for view in found] == [enlarged, 91]
    assert np.abs(answers(SMOOTH, "zoom_in", settings=settings) - expected(SMOOTH)).max() <= 2


def test_all_views_together_are_the_mean_of_each_alone():
    views = get_args(ViewName)
    images = blobs(5)[0]
    mean = np.mean([answers(images, view, pooled=True) for view in views], axis=0)
    assert np.abs(answers(images, *views, pooled=True) - mean).max() <= 1


def test_more_views_mean_fewer_tiles_a_step():
    told: list[int] = []
    images = np.concatenate([SMOOTH, SMOOTH])
    predictor = Predictor(pixelwise(), InputTransform(PAD), batch=8)
    predictor(images, np.empty(images.shape, np.uint8), ("plain", "flip", "shift"), told.append)
    assert told == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("view", "settings"),
    [
        ("shift", RESIZE),
        ("zoom_in", RESIZE),
        ("zoom_in", InputSettings(size=101)),
        ("zoom_out", InputSettings(size=300)),
        ("shift", InputSettings(size=300)),
    ],
)
def test_a_view_that_the_input_has_no_room_for_is_refused(view: str, settings: InputSettings):
    with pytest.raises(UserError, match=rf"predict\.tta: {view}"):
        Predictor(pixelwise(), InputTransform(settings)).check(["plain", view])
