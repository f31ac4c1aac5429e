"""The network for masked pretraining, and which layers belong to which path."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from pipeline.config import NetworkSettings, load
from pipeline.network.masked import FILLED, contracting_layers, masked_network, shared_layers
from pipeline.network.unet import build_unet
from tests.conftest import answers
from tests.network.helpers import network

HEADS = r"logits|gate|answers|salt_|deep\d"
EXPANSIVE = r"up\d+_|column|full_|tile_"
WHOLE = {
    "stem": "stride2",
    "norm": "batch",
    "residual": True,
    "attention": "scse",
    "encoder_attention": "scse",
    "context": "pyramid",
    "hypercolumn": True,
    "deep_supervision": 0.1,
    "empty_head": 0.1,
}


def weighted(layers: list[keras.Layer]) -> set[str]:
    """Names of the layers that have weights."""
    return {layer.name for layer in layers if layer.weights}


@pytest.mark.parametrize("gate", ["logit", "features"])
@pytest.mark.parametrize("full_resolution", ["convolution", "logits"])
def test_only_the_heads_are_replaced(gate: str, full_resolution: str):
    model = build_unet(network(**WHOLE, empty_gate=gate, full_resolution=full_resolution), 32)
    masked = masked_network(model)
    assert masked.output_shape == (None, 32, 32, 1)
    assert masked.output.dtype == "float32"
    heads = {name for name in weighted(model.layers) if re.match(HEADS, name)}
    assert {"logits", "salt_logit", "deep1_logits"} <= heads
    assert weighted(masked.layers) == weighted(model.layers) - heads | {FILLED}
    assert weighted(shared_layers(model)) == weighted(model.layers) - heads
    assert masked.get_layer("stem") is model.get_layer("stem")


def test_the_network_itself_stays_as_it_was():
    model = build_unet(network(**WHOLE), 32)
    images = np.full((1, 32, 32, 1), 90, np.float32)
    before, names = answers(model, images), [layer.name for layer in model.layers]
    masked_network(model)
    np.testing.assert_array_equal(answers(model, images), before)
    assert [layer.name for layer in model.layers] == names


@pytest.mark.parametrize(
    "settings",
    [
        network(**WHOLE),
        network(**WHOLE | {"encoder": "se_resnet34", "stem": "stride4", "levels": 3}, upsampling="bilinear"),
        network(**WHOLE | {"stem": "stride4"}, stem_width=3, full_resolution="logits", hypercolumn_join="add"),
        network(**WHOLE | {"stem": "none", "context": "none", "empty_gate": "features"}, upsampling="nearest"),
        pytest.param(load("imagenet", ["network.weights=none"]).network, marks=pytest.mark.slow),
    ],
)
def test_the_contracting_path_is_all_before_the_expansive_one(settings: NetworkSettings):
    model = build_unet(settings, 64)
    others = {name for name in weighted(model.layers) if re.match(f"{HEADS}|{EXPANSIVE}", name)}
    assert len(others) > 4
    assert weighted(contracting_layers(model, settings)) == weighted(model.layers) - others
