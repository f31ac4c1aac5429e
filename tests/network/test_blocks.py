"""Blocks: scSE attention, in the expansive path and in the contracting path."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.network.unet import build_unet
from tests.network.helpers import network


@pytest.mark.backends
@pytest.mark.parametrize(
    ("where", "encoder", "levels"),
    [("attention", "unet", 2), ("encoder_attention", "unet", 3), ("encoder_attention", "resnet34", 3)],
)
def test_attention_weighs_channels_and_pixels(where: str, encoder: str, levels: int):
    model = build_unet(network(encoder=encoder, **{where: "scse"}), 32)
    assert sum(layer.name.endswith("_scse") for layer in model.layers) == levels
    for layer in model.layers:  # two weights of one half add up to the identity
        if layer.name.endswith(("_spatial", "_excite")):
            layer.set_weights([weight * 0 for weight in layer.get_weights()])
    same = build_unet(network(encoder=encoder), 32)
    for layer in same.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 1)).astype(np.float32)
    np.testing.assert_allclose(model(image), same(image), rtol=1e-4, atol=1e-4)
