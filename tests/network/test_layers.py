"""Layers: the coordinates of each pixel, and the depth as an input."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.network.unet import build_unet
from tests.network.helpers import network


@pytest.mark.backends
def test_coordinates_and_depth_reach_the_network():
    model = build_unet(network(), 16, "coordinates")
    rows, columns = np.moveaxis(np.asarray(model.get_layer("coordinates")(np.zeros((1, 16, 16, 1)))), -1, 0)
    np.testing.assert_allclose(rows[0, :, 3], np.linspace(-1, 1, 16), atol=1e-6)
    np.testing.assert_allclose(columns[0, 5], np.linspace(-1, 1, 16), atol=1e-6)
    deep = build_unet(network(), 16, "depth")
    image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 1))
    outputs = [
        np.asarray(deep(np.concatenate([image, np.full_like(image, feet)], -1).astype(np.float32)))
        for feet in (50, 950)
    ]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
