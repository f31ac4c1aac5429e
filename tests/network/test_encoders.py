"""Encoders: features at every stride, the blocks of the papers, backbones of keras.applications and their weights."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from pipeline.config import Application, NetworkSettings, UserError
from pipeline.config.geometry import output_size
from pipeline.network import encoders
from pipeline.network.norm import Folded
from pipeline.network.unet import build_unet
from tests.conftest import answers

SMALL: dict[str, Any] = {"width": 4, "width_max": 16, "blocks": 1, "deep_supervision": 0, "empty_head": 0}


def network(**changes: Any) -> NetworkSettings:
    return NetworkSettings(**{**SMALL, **changes})


def skips(model: keras.Model) -> list[tuple[int, ...]]:
    """Shapes of what the expansive path takes up, fine to coarse."""
    found = [layer for layer in model.layers if re.fullmatch(r"up\d_concat", layer.name)]
    return [layer.input[1].shape[1:] for layer in sorted(found, key=lambda layer: layer.name)]


@pytest.mark.parametrize("encoder", ["resnet34", "se_resnet34"])
@pytest.mark.parametrize(
    ("stem", "levels", "shapes"),
    [
        ("none", 3, [(32, 32, 4), (16, 16, 8), (8, 8, 16)]),
        ("stride2", 3, [(16, 16, 4), (8, 8, 8), (4, 4, 16)]),
        ("stride2", 2, [(16, 16, 4), (8, 8, 8)]),
        ("stride4", 4, [(16, 16, 4), (8, 8, 4), (4, 4, 8), (2, 2, 16)]),
    ],
)
def test_a_resnet_gives_a_skip_at_every_stride(encoder: Any, stem: Any, levels: int, shapes: list):
    model = build_unet(network(encoder=encoder, stem=stem, levels=levels), 32)
    assert skips(model) == shapes
    assert model.output_shape == (None, 32, 32, 1)


def test_the_blocks_are_those_of_a_resnet34():
    names = {layer.name for layer in build_unet(network(encoder="resnet34", stem="stride4", levels=4), 64).layers}
    blocks = [len({n for n in names if re.fullmatch(rf"stage{stage}_block\d_conv2", n)}) for stage in (1, 2, 3, 4)]
    assert blocks == [3, 4, 6, 3]
    assert not any("_se_" in name for name in names)
    squeezed = {layer.name for layer in build_unet(network(encoder="se_resnet34"), 64).layers}
    assert sum(name.endswith("_se_excite") for name in squeezed) == 3 + 4 + 6 + 3


def test_a_resnet34_as_wide_as_the_papers_has_its_parameters():
    model = build_unet(network(encoder="resnet34", width=64, width_max=512, stem="stride4", levels=4), 128)
    own = sum(layer.count_params() for layer in model.layers if layer.name.startswith("stage"))
    reference = _resnet34_body()
    assert own == reference


def _resnet34_body() -> int:
    """Parameters of the four stages from the paper's table: kernels, and four numbers of each norm's channel."""

    def conv(kernel: int, before: int, after: int) -> int:
        return kernel**2 * before * after + 4 * after

    total, before = 0, 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for _ in range(blocks):
            total += conv(3, before, width) + conv(3, width, width)
            total += conv(1, before, width) if before != width else 0
            before = width
    return total


def test_every_backbone_of_keras_is_offered():
    there = {
        name
        for name, each in inspect.getmembers(keras.applications)
        if inspect.isfunction(each) and "include_top" in inspect.signature(each).parameters
    }
    assert set(get_args(Application)) == there


LIGHT = ["MobileNetV2", "ResNet50", "EfficientNetV2B0", "ConvNeXtTiny"]
"""One of each kind; ConvNeXt has nothing at stride 2."""


@pytest.mark.parametrize(
    "encoder",
    [
        *LIGHT,
        *(pytest.param(name, marks=pytest.mark.slow) for name in sorted({*get_args(Application)} - {*LIGHT})),
    ],
)
def test_a_backbone_gives_a_skip_at_every_stride_and_the_network_answers(encoder: Any):
    settings = network(encoder=encoder, levels=4)
    model = build_unet(settings, 96)
    assert [shape[:2] for shape in skips(model)] == [(48, 48), (24, 24), (12, 12), (6, 6)]
    for layer in model.layers:
        # Untrained, the deepest of them multiply any difference a millionfold; what its branches add less, does not.
        if isinstance(layer, keras.layers.BatchNormalization) and layer.scale:
            layer.gamma.assign(0.5 * layer.gamma)
    tiles = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 1)).astype(np.float32)
    found = answers(model, tiles)
    assert found.shape == (2, 96, 96, 1)
    assert np.isfinite(found).all()
    # The twin that predicts is made of another network than the one that learns, in which Keras numbers layers anew.
    folded = Folded(build_unet(settings, 96, seed=1))
    folded.take(model)
    np.testing.assert_allclose(answers(folded.model, tiles), found, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("encoder", ["ResNet50", "ResNet50V2", "DenseNet121", "EfficientNetB0"])
def test_grey_tiles_are_prepared_as_the_backbone_expects(encoder: str):
    make = getattr(keras.applications, encoder)
    scale, offset = encoders._preparation(make)
    grey = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 1)).astype(np.float32)
    module = inspect.getmodule(inspect.unwrap(make))
    expected = module.preprocess_input(np.repeat(grey, 3, axis=-1))  # type: ignore[union-attr]
    np.testing.assert_allclose(grey * scale + offset, expected, rtol=1e-5, atol=1e-4)


def test_a_backbone_starts_from_a_file_of_weights(tmp_path: Path):
    keras.utils.set_random_seed(3)
    source = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(64, 64, 3))
    path = tmp_path / "backbone.weights.h5"
    source.save_weights(path)
    model = build_unet(network(encoder="MobileNetV2", weights=str(path), levels=3), 64)
    np.testing.assert_array_equal(model.get_layer("Conv1").get_weights()[0], source.get_layer("Conv1").get_weights()[0])


def test_a_normalization_s_weights_count_in_the_twin_that_predicts():
    settings = network(encoder="EfficientNetB0", levels=3)
    model, other = build_unet(settings, 64, seed=1), build_unet(settings, 64, seed=2)
    norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    norm.set_weights([np.full(3, 0.4), np.full(3, 0.05), *norm.get_weights()[2:]])
    norm.finalize_state()
    folded = Folded(other)
    folded.take(model)
    tiles = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 1)).astype(np.float32)
    np.testing.assert_allclose(answers(folded.model, tiles), answers(model, tiles), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("encoder", ["ResNet50", "EfficientNetV2B0"])
def test_a_backbone_sees_the_place_of_each_pixel_as_clearly_as_grey_values(encoder: Any):
    model = build_unet(network(encoder=encoder, levels=3), 64, "coordinates")
    seen = keras.Model(model.input, model.get_layer("prepared").output)
    channels = answers(seen, np.linspace(0, 255, 64 * 64, dtype=np.float32).reshape(1, 64, 64, 1))[0]
    spans = np.ptp(channels, axis=(0, 1))
    assert spans[1:].min() > 0.2 * spans[0]


@pytest.mark.parametrize("size", [64, 80])
def test_a_small_image_is_tapped_at_its_strides(size: int):
    model = build_unet(network(encoder="MobileNetV2", levels=3), size)
    bottom = model.get_layer("up3_upsample").input
    assert bottom.shape[1] == size // 16
    # Stride 16 itself, not stride 32 with a margin of zeros.
    assert not any("encoder4_padded" in layer.name for layer in model.layers)


def test_an_image_too_small_for_a_backbone_is_one_line():
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
        # Keras gives these one more layer when they start from ImageNet, and a fold's weights have it then.
        ("EfficientNetB3", "imagenet", "imagenet"),
    ],
)
def test_nothing_is_fetched_for_weights_that_are_read_in_next(encoder: Any, weights: str, read: str):
    settings = network(encoder=encoder, weights=weights, levels=3)
    assert encoders.to_be_read_in(settings) == network(encoder=encoder, weights=read, levels=3)


@pytest.mark.parametrize("content", [None, b"no weights at all"])
def test_weights_that_cannot_be_had_are_one_line(tmp_path: Path, content: bytes | None):
    path = tmp_path / "some.weights.h5"
    if content:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"MobileNetV2 cannot start from it .*network\.weights = none") as error:
        build_unet(network(encoder="MobileNetV2", weights=str(path), levels=3), 64)
    assert "\n" not in str(error.value)


def test_imagenet_without_the_internet_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise Exception("URL fetch failure\non https://example.org: None")

    monkeypatch.setattr(inspect.getmodule(keras.applications.MobileNetV2).file_utils, "get_file", refuse)  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"imagenet: MobileNetV2 cannot start from it \(URL fetch failure on") as error:
        build_unet(network(encoder="MobileNetV2", weights="imagenet", levels=3), 64)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encoder": "resnet34", "levels": 4}, "take network.levels = 3"),
        ({"encoder": "ResNet50", "levels": 5}, "take network.levels = 4"),
        ({"encoder": "ResNet50", "stem": "none"}, "ResNet50 has a stem of its own"),
        ({"weights": "imagenet"}, "take network.weights = none, or an encoder such as ResNet50"),
        ({"encoder": "resnet34", "padding": "valid"}, "network.encoder; take network.padding = same"),
        ({"hypercolumn": True, "padding": "valid"}, "network.hypercolumn; take network.padding = same"),
        (
            {"deep_supervision": 0.1, "hypercolumn": False, "padding": "valid"},
            "network.deep_supervision; take network.padding = same",
        ),
        ({"stem": "stride4", "levels": 1}, "take network.levels = 2 or more"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_one_line(changes: dict[str, Any], told: str):
    with pytest.raises(UserError, match=re.escape(told)):
        output_size(network(**changes), 128)


def test_a_size_that_an_encoder_cannot_halve_is_refused():
    with pytest.raises(UserError, match=r"input\.size = 112 does not fit a network of 4 levels; take 96 or 128"):
        output_size(network(encoder="ResNet50", levels=4), 112)
