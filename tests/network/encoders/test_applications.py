"""Backbones of keras.applications: features at every stride, input scaling and initial weights."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import keras
import numpy as np
import pytest

from pipeline.config import Application, UserError
from pipeline.network.encoders import applications
from pipeline.network.folding import FoldedModel
from pipeline.network.unet import build_unet
from tests.conftest import answers
from tests.network.encoders.helpers import network, skips


def test_every_backbone_of_keras_is_offered():
    existing = {
        name
        for name, each in inspect.getmembers(keras.applications)
        if inspect.isfunction(each) and "include_top" in inspect.signature(each).parameters
    }
    assert set(get_args(Application)) == existing


LIGHT = "MobileNetV2"
"""The smallest backbone with batch norms."""


@pytest.mark.parametrize(
    "encoder",
    [LIGHT, *(pytest.param(name, marks=pytest.mark.slow) for name in sorted({*get_args(Application)} - {LIGHT}))],
)
def test_a_backbone_gives_a_skip_at_every_stride_and_the_folded_model_predicts_the_same(encoder: Any):
    settings = network(encoder=encoder, levels=4)
    model = build_unet(settings, 96)
    assert [shape[:2] for shape in skips(model)] == [(48, 48), (24, 24), (12, 12), (6, 6)]
    for layer in model.layers:
        # The deepest untrained backbones amplify any difference a millionfold; with smaller branches they do not.
        if isinstance(layer, keras.layers.BatchNormalization) and layer.scale:
            layer.gamma.assign(0.5 * layer.gamma)
    tiles = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 1)).astype(np.float32)
    outputs = answers(model, tiles)
    assert outputs.shape == (2, 96, 96, 1)
    assert np.isfinite(outputs).all()
    # The folded model is made from another network than the trained one; Keras numbers the layers differently in it.
    folded = FoldedModel(build_unet(settings, 96, seed=1))
    folded.copy_weights_from(model)
    np.testing.assert_allclose(answers(folded.model, tiles), outputs, rtol=1e-2, atol=1e-2)


@pytest.fixture(scope="module")
def source() -> keras.Model:
    """A backbone without a decoder."""
    keras.utils.set_random_seed(3)
    return keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(64, 64, 3))


@pytest.fixture(scope="module")
def started(source: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> keras.Model:
    """A network with attention whose backbone starts from a file of that one's weights."""
    path = tmp_path_factory.mktemp("backbone") / "backbone.weights.h5"
    source.save_weights(path)
    return build_unet(network(encoder="MobileNetV2", weights=str(path), levels=3, encoder_attention="scse"), 64)


def test_attention_is_on_the_features_that_the_expansive_path_gets(started: keras.Model):
    assert [f"encoder{level}_scse" in {layer.name for layer in started.layers} for level in range(1, 6)] == [
        *[True] * 4,
        False,
    ]
    assert started.get_layer("up3_concat").input[1] is started.get_layer("encoder3_scse").output
    assert started.get_layer("up3_upsample").input is started.get_layer("encoder4_scse").output


@pytest.mark.parametrize("encoder", ["ResNet50", "ResNet50V2", "DenseNet121", "EfficientNetB0"])
def test_grey_tiles_are_scaled_as_by_the_backbones_preprocess_input(encoder: str):
    make = getattr(keras.applications, encoder)
    scale, offset = applications._preprocessing(make)
    grey = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 1)).astype(np.float32)
    module = inspect.getmodule(inspect.unwrap(make))
    expected = module.preprocess_input(np.repeat(grey, 3, axis=-1))  # type: ignore[union-attr]
    np.testing.assert_allclose(grey * scale + offset, expected, rtol=1e-5, atol=1e-4)


def test_a_backbone_starts_from_a_file_of_weights(source: keras.Model, started: keras.Model):
    first, read = (model.get_layer("Conv1").get_weights()[0] for model in (source, started))
    np.testing.assert_array_equal(read, first)


def poolings(make: Any, settings: Any, prepared: Any) -> SimpleNamespace:
    """In place of a backbone: a feature at each stride, without any weights."""
    layers = [keras.layers.AveragePooling2D(2) for _ in range(5)]
    for layer in layers:
        prepared = layer(prepared)
    return SimpleNamespace(layers=layers)


@pytest.mark.parametrize(
    "whole", [pytest.param(False, id="poolings"), pytest.param(True, id="whole", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("encoder", ["ResNet50", "EfficientNetV2B0"])
def test_coordinates_have_the_range_of_grey_values_in_a_backbone(
    encoder: Any, whole: bool, monkeypatch: pytest.MonkeyPatch
):
    if not whole:
        monkeypatch.setattr(applications, "_backbone", poolings)
    model = build_unet(network(encoder=encoder, levels=3), 64, "coordinates")
    seen = keras.Model(model.input, model.get_layer("prepared").output)
    channels = answers(seen, np.linspace(0, 255, 64 * 64, dtype=np.float32).reshape(1, 64, 64, 1))[0]
    spans = np.ptp(channels, axis=(0, 1))
    assert spans[1:].min() > 0.2 * spans[0]


@pytest.mark.parametrize("size", [64, 80])
def test_features_of_a_small_image_have_the_right_stride(size: int, started: keras.Model):
    model = started if size == 64 else build_unet(network(encoder="MobileNetV2", levels=3), size)
    bottom = model.get_layer("up3_upsample").input
    assert bottom.shape[1] == size // 16
    # Stride 16 itself, not stride 32 with a margin of zeros.
    assert not any("encoder4_padded" in layer.name for layer in model.layers)


def test_an_error_about_a_small_image_is_one_line():
    with pytest.raises(UserError, match=r"InceptionV3 cannot .*size = 32 .*try a larger input\.size") as error:
        build_unet(network(encoder="InceptionV3", levels=4), 32)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("encoder", "weights", "read"),
    [
        ("ResNet50", "imagenet", "none"),
        ("ResNet50", "some.weights.h5", "none"),
        ("EfficientNetV2B0", "imagenet", "none"),
        ("EfficientNetB3", "some.weights.h5", "none"),
        # Keras adds a layer to these for ImageNet, which the weights of a fold have too.
        ("EfficientNetB3", "imagenet", "imagenet"),
    ],
)
def test_pretrained_weights_are_not_downloaded_where_trained_weights_follow(encoder: Any, weights: str, read: str):
    settings = network(encoder=encoder, weights=weights, levels=3)
    assert applications.without_pretrained_weights(settings) == network(encoder=encoder, weights=read, levels=3)


@pytest.mark.parametrize("content", [None, b"no weights at all"])
def test_an_error_about_unreadable_weights_is_one_line(tmp_path: Path, content: bytes | None):
    path = tmp_path / "some.weights.h5"
    if content:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"MobileNetV2 cannot start from it .*network\.weights = none") as error:
        build_unet(network(encoder="MobileNetV2", weights=str(path), levels=3), 64)
    assert "\n" not in str(error.value)


def test_an_error_about_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise Exception("URL fetch failure\non https://example.org: None")

    monkeypatch.setattr(inspect.getmodule(keras.applications.MobileNetV2).file_utils, "get_file", refuse)  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"imagenet: MobileNetV2 cannot start from it \(URL fetch failure on") as error:
        build_unet(network(encoder="MobileNetV2", weights="imagenet", levels=3), 64)
    assert "\n" not in str(error.value)
