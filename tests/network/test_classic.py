"""The article's U-Net in plain Keras equals what the settings of the experiment ``article`` build."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.config import load
from pipeline.network.classic import build_classic_unet
from pipeline.network.unet import build_unet
from tests.conftest import answers

pytestmark = pytest.mark.backends


@pytest.fixture(scope="module")
def article() -> keras.Model:
    settings = load("article")
    return build_unet(settings.network, settings.input.size, settings.input.channels)


@pytest.fixture(scope="module")
def classic() -> keras.Model:
    return build_classic_unet()


def test_weights_have_the_same_shapes_in_the_same_order(article: keras.Model, classic: keras.Model):
    assert [weight.shape for weight in classic.weights] == [weight.shape for weight in article.weights]
    assert classic.count_params() == article.count_params() == 31_030_593
    assert classic.input_shape == article.input_shape
    assert classic.output_shape == article.output_shape


def test_layers_are_the_same_in_the_same_order(article: keras.Model, classic: keras.Model):
    """Except that the activations of the article's network are arguments of its convolutions."""
    assert described(classic) == described(article)
    activations = {layer.activation.__name__ for layer in article.layers if hasattr(layer, "activation")}
    assert activations == {"relu", "linear"}
    *convolutions, output = [layer for layer in classic.layers if type(layer) is keras.layers.Conv2D]
    assert {layer.activation.__name__ for layer in convolutions} == {"relu"}
    assert output.activation.__name__ == "sigmoid"


def test_with_the_same_weights_both_give_the_same_probabilities():
    narrow = load("article", ["network.width=4", "network.width_max=64"])
    article, classic = build_unet(narrow.network, 64), build_classic_unet(size=64, start_neurons=4)
    draw = np.random.default_rng(0)
    # Biases start at 0; random ones show that each goes to its own layer.
    weights = [each + draw.normal(0, 0.05, each.shape) if each.ndim == 1 else each for each in article.get_weights()]
    for model in (article, classic):
        model.set_weights(weights)
    tile = draw.uniform(0, 255, (1, 64, 64, 1)).astype(np.float32)
    logits, probabilities = answers(article, tile), answers(classic, tile)
    assert np.ptp(logits) > 0.1
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-4)


def described(model: keras.Model) -> list[tuple[str, dict]]:
    """Kind and geometry of each layer; not its name, seed, initializer or activation."""
    kept = ("filters", "kernel_size", "strides", "padding", "use_bias", "pool_size", "rate", "scale", "offset", "axis")
    return [
        (type(layer).__name__, {name: value for name, value in layer.get_config().items() if name in kept})
        for layer in model.layers
        if not isinstance(layer, keras.layers.Activation)
    ]
