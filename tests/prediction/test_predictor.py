"""Prediction in batches: the mean over views, and the number of tiles of a step."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import InputSettings, UserError, load
from pipeline.data.input_transform import InputTransform
from pipeline.prediction.build import make_network
from pipeline.prediction.predictor import Predictor
from tests.conftest import blobs
from tests.prediction.helpers import SMALL
from tests.prediction.pixelwise import PAD, RESIZE, pixelwise

pytestmark = pytest.mark.backends


def test_flip_averages_the_tile_and_its_mirror_image():
    model, transform = make_network(load("unet", SMALL), 1)
    images = blobs(5)[0]
    plain, mirrored, both = (np.empty((5, 101, 101), np.uint8) for _ in range(3))
    predictor = Predictor(model, transform, batch=4)
    predictor(images, plain, ("plain",))
    predictor(images[:, :, ::-1], mirrored, ("plain",))
    predictor(images, both, ("plain", "flip"))
    mean = (plain.astype(float) + mirrored[:, :, ::-1]) / 2
    assert np.abs(both - mean).max() <= 1
    assert np.abs(plain.astype(int) - both).max() > 1


def test_more_views_mean_fewer_tiles_per_step():
    progress: list[int] = []
    images = blobs(10)[0]
    predictor = Predictor(pixelwise(), InputTransform(PAD), batch=8)
    predictor(images, np.empty(images.shape, np.uint8), ("plain", "flip", "shift"), progress.append)
    assert progress == [2, 4, 6, 8, 10]


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
def test_a_view_that_does_not_fit_the_input_is_refused(view: str, settings: InputSettings):
    with pytest.raises(UserError, match=rf"predict\.tta: {view}"):
        Predictor(pixelwise(), InputTransform(settings)).check_views(["plain", view])
