"""Folded batch norms: the same outputs as the network itself."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pipeline.config import NetworkSettings
from pipeline.network.batch_norm import BatchNormalization
from pipeline.network.folding import FoldedModel
from pipeline.network.unet import build_unet
from tests.conftest import answers

pytestmark = pytest.mark.backends


def perturbed(model: keras.Model, seed: int = 0) -> keras.Model:
    """Perturb the weights of a model as training would, so that no norm is the identity."""
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([draw.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        elif layer.weights:
            layer.set_weights([weight + draw.normal(0, 0.05, weight.shape) for weight in layer.get_weights()])
    return model


def tiles(count: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (count, size, size, 1)).astype(np.float32)


EVERYTHING: dict[str, Any] = {"width": 4, "levels": 2}
"""By default a network has attention, a hypercolumn and auxiliary outputs."""
BARE: dict[str, Any] = {
    "width": 4,
    "levels": 1,
    "attention": "none",
    "hypercolumn": False,
    "deep_supervision": 0,
    "empty_head": 0,
}


@pytest.mark.parametrize(
    "settings",
    [
        EVERYTHING,
        {**BARE, "residual": False, "stem": "none", "upsampling": "bilinear"},
        {**BARE, "norm": "group"},
        {**BARE, "norm": "none", "residual": False},
        {**BARE, "encoder": "se_resnet34", "encoder_attention": "scse"},
        {**BARE, "empty_head": 0.1, "empty_gate": "features", "encoder_attention": "scse", "context": "dilated"},
        {**BARE, "context": "pyramid"},
    ],
    ids=[
        "everything",
        "plain",
        "group norm",
        "no norm",
        "se_resnet34 with scse",
        "features of the tile, scse and dilated",
        "pyramid",
    ],
)
def test_the_folded_model_has_no_batch_norm_and_the_same_outputs(settings: dict[str, Any]):
    model = perturbed(build_unet(NetworkSettings(**settings), 32, seed=1))
    folded = FoldedModel(model)
    folded.copy_weights_from(model)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.model.layers)
    np.testing.assert_allclose(answers(folded.model, tiles(2)), answers(model, tiles(2)), rtol=1e-3, atol=1e-3)


def test_it_takes_the_weights_of_any_network_with_the_same_layers():
    settings = NetworkSettings(**BARE)
    folded = FoldedModel(build_unet(settings, 32, seed=1))
    for seed in (2, 3):
        other = perturbed(build_unet(settings, 32, seed=seed), seed)
        folded.copy_weights_from(other)
        np.testing.assert_allclose(answers(folded.model, tiles(2)), answers(other, tiles(2)), rtol=1e-3, atol=1e-3)


def test_the_folded_model_uses_the_weights_of_a_normalization():
    # As a pretrained EfficientNet of keras.applications has.
    def network(mean: float, variance: float) -> keras.Model:
        image = keras.Input((8, 8, 3))
        x = keras.layers.Normalization(name="normalization")(image)
        model = keras.Model(image, keras.layers.Conv2D(2, 3)(x))
        norm = model.get_layer("normalization")
        norm.set_weights([np.full(3, mean), np.full(3, variance), *norm.get_weights()[2:]])
        norm.finalize_state()
        return model

    model = network(0.4, 0.05)
    folded = FoldedModel(network(0, 1))
    folded.copy_weights_from(model)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(answers(folded.model, images), answers(model, images), rtol=1e-3, atol=1e-3)


def test_norms_are_folded_into_every_kind_of_convolution_and_nothing_else():
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = BatchNormalization(name="in_conv")(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="depthwise")(x)
    x = BatchNormalization(scale=False, name="in_depthwise")(x)
    x = keras.layers.Conv2DTranspose(5, 2, strides=2, name="transposed")(x)
    x = BatchNormalization(center=False, name="in_transposed")(x)
    active = keras.layers.Conv2D(5, 1, activation="relu", name="active")(x)
    x = BatchNormalization(name="after_relu")(active)
    shared = keras.layers.Conv2D(5, 1, name="shared")(x)
    normed = BatchNormalization(name="after_shared")(shared)
    model = perturbed(keras.Model(image, keras.layers.Add()([normed, shared])))
    folded = FoldedModel(model)
    folded.copy_weights_from(model)
    kept = {layer.name for layer in folded.model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert kept == {"after_relu", "after_shared"}
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(answers(folded.model, images), answers(model, images), rtol=1e-3, atol=1e-3)
