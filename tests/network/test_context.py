"""Context modules: every pixel of the bottom sees the whole image, at any size."""

from __future__ import annotations

from itertools import pairwise

import keras
import numpy as np
import pytest

from pipeline.network.unet import build_unet
from tests.conftest import answers
from tests.network.helpers import network

pytestmark = pytest.mark.backends


@pytest.mark.parametrize("context", ["pyramid", "dilated"])
@pytest.mark.parametrize("size", [16, 44, 112])
def test_the_module_keeps_the_shape_and_lets_each_pixel_see_the_whole_image(context: str, size: int):
    settings = network(context=context, levels=2, kernel_initializer="glorot_uniform")
    model = build_unet(settings, size)
    merged = model.get_layer("context_merge_relu").output
    assert merged.shape == (None, size // 4, size // 4, 16)
    # The features before and after the module: a change in one corner reaches the opposite one.
    before = model.get_layer("bottom_conv2_relu").output
    module = keras.Model(before, merged)
    features = np.random.default_rng(0).uniform(0, 1, (1, *before.shape[1:])).astype(np.float32)
    changed = features.copy()
    changed[:, 0, 0] += 5
    assert (answers(module, features)[0, -1, -1] != answers(module, changed)[0, -1, -1]).any()


def test_the_pyramid_has_the_means_over_its_grids():
    model = build_unet(network(context="pyramid"), 48)
    before = model.get_layer("bottom_conv2_relu").output
    pools = [model.get_layer(f"context_pool{bins}").output for bins in (1, 2, 3, 6)]
    features = np.random.default_rng(0).uniform(0, 1, (1, *before.shape[1:])).astype(np.float32)
    found = keras.Model(before, pools)(features)
    for bins, pooled in zip((1, 2, 3, 6), found, strict=True):
        edges = np.arange(0, 13, 12 // bins)
        means = [[features[0, a:b, c:d].mean(axis=(0, 1)) for c, d in pairwise(edges)] for a, b in pairwise(edges)]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(pooled)[0], means, rtol=1e-4)


def test_grids_and_rates_that_do_not_fit_the_image_are_left_out():
    names = {layer.name for layer in build_unet(network(context="pyramid"), 16).layers}
    assert [f"context_pool{bins}" in names for bins in (1, 2, 3, 6)] == [True, True, True, False]
    names = {layer.name for layer in build_unet(network(context="dilated"), 16).layers}
    assert [f"context_rate{rate}" in names for rate in (1, 2, 4, 6)] == [True, True, False, False]


@pytest.mark.parametrize("context", ["pyramid", "dilated"])
def test_a_network_with_the_module_is_trained(context: str):
    # A training step is compiled: what an operation accepts outside of one says nothing about it.
    model = build_unet(network(context=context, levels=1), 16)
    model.compile(optimizer="sgd", loss="mse", jit_compile=keras.backend.backend() == "jax")
    tiles = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 1)).astype(np.float32)
    assert np.isfinite(model.train_on_batch(tiles, np.ones((2, 16, 16, 1), np.float32)))
