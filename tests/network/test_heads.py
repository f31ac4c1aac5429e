"""Empty-tile head and deep supervision: their channels, and the gate."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.network.unet import TILE_CHANNELS, build_unet
from tests.conftest import answers
from tests.network.helpers import network


@pytest.mark.parametrize(
    ("changes", "channels"),
    [
        ({}, 1),
        ({"empty_head": 0.1}, 2),
        ({"empty_head": 0.1, "empty_gate": "none"}, 2),
        ({"empty_head": 0.1, "empty_gate": "features"}, 2),
        ({"empty_gate": "features"}, 1),
        ({"deep_supervision": 0.5}, 2),  # the coarser of two levels; the finer one is the output itself
        ({"deep_supervision": 0.5, "stem": "stride2"}, 3),
        ({"deep_supervision": 0.5, "empty_head": 0.1, "stem": "stride2"}, 4),
    ],
)
def test_auxiliary_outputs_are_further_channels(changes: dict, channels: int):
    model = build_unet(network(**changes), 32)
    assert model.output_shape == (None, 32, 32, channels)


@pytest.mark.backends
def test_the_head_gates_the_mask_at_prediction_and_not_in_training():
    model = build_unet(network(empty_head=0.1, dropout=(0,), decoder_dropout=(0,)), 16)
    kernel, bias = model.get_layer("salt_logit").get_weights()
    image = np.full((1, 16, 16, 1), 100, np.float32)

    def mask(logit: float, training: bool) -> np.ndarray:
        model.get_layer("salt_logit").set_weights([kernel * 0, bias + logit])
        return np.asarray(keras.ops.convert_to_numpy(model(image, training=training)))[..., 0]

    open_, closed = mask(5, False), mask(-7, False)
    np.testing.assert_allclose(closed, open_ - 7, rtol=1e-4, atol=1e-4)
    assert np.abs(mask(-7, True) - mask(5, True)).max() < 1e-4


@pytest.mark.backends
@pytest.mark.parametrize("stem", ["none", "stride2"])
@pytest.mark.parametrize("gate", ["none", "features"])
def test_without_the_gate_the_logit_leaves_the_mask_unchanged_and_the_features_reach_it(gate: str, stem: str):
    changes = {"empty_head": 0.1, "empty_gate": gate, "stem": stem, "dropout": (0,), "decoder_dropout": (0,)}
    model = build_unet(network(**changes), 16)
    image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 1)).astype(np.float32)
    before = answers(model, image)
    kernel, bias = model.get_layer("salt_logit").get_weights()
    model.get_layer("salt_logit").set_weights([kernel, bias - 7])
    closed = answers(model, image)
    np.testing.assert_allclose(closed[..., 1], before[..., 1] - 7, rtol=1e-4)
    np.testing.assert_array_equal(closed[..., 0], before[..., 0])
    if gate == "none":
        assert "tile_features" not in {layer.name for layer in model.layers}
        return
    kernel, bias = model.get_layer("tile_features").get_weights()
    assert kernel.shape[1] == TILE_CHANNELS
    model.get_layer("tile_features").set_weights([kernel, bias + 1])
    assert (answers(model, image)[..., 0] != before[..., 0]).mean() > 0.9


def test_without_a_head_its_gate_changes_nothing():
    plain, other = (build_unet(network(empty_gate=gate), 16) for gate in ("logit", "features"))
    assert [layer.name for layer in plain.layers] == [layer.name for layer in other.layers]


@pytest.mark.parametrize("kind", ["element", "spatial"])
def test_the_hypercolumn_has_its_own_dropout(kind: str):
    def dropouts(**changes) -> dict[str, tuple[type, float]]:
        model = build_unet(
            network(hypercolumn=True, dropout_kind=kind, dropout=(0,), decoder_dropout=(0,), **changes), 16
        )
        return {each.name: (type(each), each.rate) for each in model.layers if "dropout" in each.name}

    layer = {"element": keras.layers.Dropout, "spatial": keras.layers.SpatialDropout2D}[kind]
    assert dropouts() == {}
    assert dropouts(hypercolumn_dropout=0.4) == {"columns_dropout": (layer, 0.4)}
