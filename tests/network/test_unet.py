"""The U-Net layer by layer: shapes, parameter counts, and the effect of each setting."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.config import InputSettings, NetworkSettings, UserError, all_experiment_names, load
from pipeline.config.geometry import output_size
from pipeline.network.unet import build_unet, level_widths
from tests.network.helpers import network


def built(name: str) -> keras.Model:
    settings = load(name)
    return build_unet(settings.network, settings.input.size)


@pytest.fixture(scope="module")
def article() -> keras.Model:
    return built("article")


def test_the_articles_shapes_layer_by_layer(article: keras.Model):
    expected = {
        "down1_conv1": (128, 128, 64),
        "down1_conv2": (128, 128, 64),
        "down1_pool": (64, 64, 64),
        "down2_conv2": (64, 64, 128),
        "down2_pool": (32, 32, 128),
        "down3_conv2": (32, 32, 256),
        "down3_pool": (16, 16, 256),
        "down4_conv2": (16, 16, 512),
        "down4_pool": (8, 8, 512),
        "bottom_conv1": (8, 8, 1024),
        "bottom_conv2": (8, 8, 1024),
        "up4_upsample": (16, 16, 512),
        "up4_concat": (16, 16, 1024),
        "up4_conv2": (16, 16, 512),
        "up3_upsample": (32, 32, 256),
        "up3_concat": (32, 32, 512),
        "up3_conv2": (32, 32, 256),
        "up2_concat": (64, 64, 256),
        "up2_conv2": (64, 64, 128),
        "up1_concat": (128, 128, 128),
        "up1_conv2": (128, 128, 64),
        "logits": (128, 128, 1),
    }
    for name, shape in expected.items():
        assert article.get_layer(name).output.shape[1:] == shape, name


def test_the_papers_shapes_layer_by_layer():
    model = built("paper")
    sides = {
        "down1_conv1": 570,
        "down1_conv2": 568,
        "down1_pool": 284,
        "down2_conv2": 280,
        "down2_pool": 140,
        "down3_conv2": 136,
        "down3_pool": 68,
        "down4_conv2": 64,
        "down4_pool": 32,
        "bottom_conv1": 30,
        "bottom_conv2": 28,
        "up4_upsample": 56,
        "up4_crop": 56,
        "up4_conv2": 52,
        "up3_upsample": 104,
        "up3_conv2": 100,
        "up2_upsample": 200,
        "up2_conv2": 196,
        "up1_upsample": 392,
        "up1_crop": 392,
        "up1_conv2": 388,
        "logits": 388,
    }
    for name, side in sides.items():
        assert model.get_layer(name).output.shape[1:3] == (side, side), name
    assert model.get_layer("bottom_conv2").output.shape[-1] == 1024


def classic_parameters(start: int, upsampling_kernel: int, norm: bool) -> int:
    """Parameters of a plain U-Net of four levels, computed by hand: k * k * in * out + out for each convolution."""
    widths = [start * 2**level for level in range(5)]
    # A norm replaces the convolution's bias by scale, shift, mean and variance.
    extra = 4 if norm else 1
    total, before = 0, 1
    for width in widths:  # contracting path and bottom
        total += 9 * before * width + extra * width + 9 * width * width + extra * width
        before = width
    for width in reversed(widths[:-1]):  # expansive path
        total += upsampling_kernel**2 * 2 * width * width + width  # the transposed convolution keeps its bias
        total += 9 * 2 * width * width + extra * width + 9 * width * width + extra * width
    return total + start + 1  # the 1x1 convolution


def test_parameter_counts_are_those_of_the_layers(article: keras.Model):
    assert article.count_params() == classic_parameters(64, 2, norm=False) == 31_030_593
    assert built("kernel").count_params() == classic_parameters(16, 3, norm=False)
    assert built("notebook").count_params() == classic_parameters(16, 3, norm=True)


LONG = ("full", "imagenet", "ladder-", "large", "part-")
"""Experiments whose networks together take long to build."""


def networks() -> list[str]:
    """The first experiment of each network and input; ``article`` and ``paper`` have tests of their own."""
    found: dict[tuple[NetworkSettings, InputSettings], str] = {}
    for name in all_experiment_names():
        settings = load(name, ["network.weights=none"])
        found.setdefault((settings.network, settings.input), name)
    return [name for name in found.values() if name not in ("article", "paper")]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name.startswith(LONG) else ()) for name in networks()],
)
def test_every_experiment_has_an_output_for_each_pixel_of_its_input(name: str):
    settings = load(name, ["network.weights=none"])
    model = build_unet(settings.network, settings.input.size, settings.input.channels)
    assert model.output_shape[:3] == (None, settings.input.size, settings.input.size)


def test_the_second_convolution_takes_the_first_ones_output(article: keras.Model):
    for block in ("down1", "down4", "bottom", "up4", "up1"):
        second, first = article.get_layer(f"{block}_conv2"), article.get_layer(f"{block}_conv1_relu")
        assert second.input is first.output


def test_the_skip_is_what_the_contracting_path_had_before_pooling(article: keras.Model):
    for level in range(1, 5):
        joined = article.get_layer(f"up{level}_concat").input
        assert any(each is article.get_layer(f"down{level}_conv2_relu").output for each in joined)


def test_dropout_is_where_the_settings_put_it():
    model = build_unet(network(levels=3, dropout=(0.25, 0.5), decoder_dropout=(0.0, 0.3)), 32)
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert rates == {
        "down1_dropout": 0.25,
        "down2_dropout": 0.5,
        "down3_dropout": 0.5,
        "up2_dropout": 0.3,
        "up1_dropout": 0.3,
    }
    assert not any(
        "dropout" in layer.name for layer in build_unet(network(dropout=(0,), decoder_dropout=(0,)), 32).layers
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"residual": True},
        {"norm": "batch"},
        {"norm": "group", "residual": True},
        {"blocks": 2, "residual": True},
        {"upsampling": "bilinear"},
        {"upsampling": "nearest", "norm": "batch"},
        {"upsampling_kernel": 3},
        {"stem": "stride2"},
        {"stem": "stride2", "residual": True, "norm": "batch", "blocks": 2, "dropout_kind": "spatial"},
        {"padding": "valid"},
        {"padding": "valid", "residual": True, "stem": "stride2"},
        {"width_max": 4},
        {"kernel_initializer": "glorot_uniform"},
        {"levels": 1},
        {"stem": "stride4"},
        {"stem": "stride4", "stem_width": 2},
        {"stem": "stride2", "stem_width": 2, "residual": True},
        {"stem": "stride2", "full_resolution": "logits"},
        {"stem": "stride2", "full_resolution": "logits", "padding": "valid", "residual": True, "skip_kernel": 1},
        {"full_resolution": "logits", "empty_head": 0.1, "empty_gate": "features", "stem": "stride2"},
        {"skip_kernel": 1, "padding": "valid", "residual": True},
        {"attention": "scse", "norm": "batch"},
        {"encoder_attention": "scse", "stem": "stride2"},
        {"encoder_attention": "scse", "padding": "valid"},
        {"context": "pyramid", "stem": "stride2"},
        {"context": "dilated", "norm": "batch"},
        {"context": "dilated", "padding": "valid"},
        {"hypercolumn": True},
        {"hypercolumn": True, "levels": 1},
        {"hypercolumn": True, "hypercolumn_join": "add", "levels": 3},
        {"hypercolumn": True, "hypercolumn_join": "add", "levels": 1},
        {"hypercolumn": True, "stem": "stride2", "levels": 3},
        {"deep_supervision": 0.5},
        {"empty_head": 0.1},
        {"empty_head": 0.1, "deep_supervision": 0.5, "stem": "stride2"},
        {"empty_head": 0.1, "empty_gate": "features", "stem": "stride2"},
        {"empty_head": 0.1, "empty_gate": "features", "norm": "batch"},
    ],
)
def test_every_setting_builds_with_the_predicted_output_size(changes: dict):
    settings = network(**changes)
    size = next(size for size in range(60, 140) if _fits(settings, size))
    model = build_unet(settings, size)
    assert model.output_shape[1] == output_size(settings, size)
    assert level_widths(settings)[-1] == model.get_layer(_bottom(model)).output.shape[-1]


def _fits(settings: NetworkSettings, size: int) -> bool:
    try:
        return output_size(settings, size) > 0
    except UserError:
        return False


def _bottom(model: keras.Model) -> str:
    return [layer.name for layer in model.layers if layer.name.startswith("bottom")][-1]


def test_a_stem_has_its_own_width_and_so_has_the_level_of_its_size():
    assert level_widths(network(stem="stride4", stem_width=3, width=8, levels=3)) == [3, 8, 16, 32]
    assert level_widths(network(stem="stride2", stem_width=3, width=8, levels=3)) == [8, 16, 32, 64]
    model = build_unet(network(stem="stride4", stem_width=3, width=8, residual=True), 32)
    names = ("stem", "down2_add", "bottom_add", "up2_merge", "up1_merge", "up1_add")
    assert [model.get_layer(name).output.shape[-1] for name in names] == [3, 8, 16, 8, 3, 3]
    stride2 = build_unet(network(stem="stride2", stem_width=3, width=8, residual=True), 32)
    assert [stride2.get_layer(name).output.shape[-1] for name in ("stem", "down1_add", "up1_add")] == [3, 8, 8]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": "none"}, "network.stem = none has no stem; take network.stem_width = 0"),
        ({"stem": "stride2", "encoder": "ResNet50"}, "ResNet50 has its own stem; take network.stem_width = 0"),
    ],
)
def test_a_width_for_a_stem_that_is_not_there_is_refused(changes: dict, message: str):
    with pytest.raises(UserError, match=f"network.stem_width = 3: {message}"):
        output_size(network(stem_width=3, **changes), 64)


@pytest.mark.backends
def test_logits_from_half_the_resolution_are_a_square_for_each_feature():
    model = build_unet(network(stem="stride2", full_resolution="logits"), 32)
    assert not [layer.name for layer in model.layers if layer.name.startswith("full_")]
    logits = model.get_layer("logits")
    features = np.zeros((1, 16, 16, logits.input.shape[-1]), np.float32)
    features[0, 5, 9] = 1
    found = keras.ops.convert_to_numpy(logits(features))[0, :, :, 0]
    assert found.shape == (32, 32)
    changed = {(int(row), int(column)) for row, column in np.argwhere(found != found[0, 0])}
    assert changed == {(10, 18), (10, 19), (11, 18), (11, 19)}


def test_hypercolumns_that_are_added_have_the_channels_of_one():
    def channels(join: str) -> int:
        changes = {"hypercolumn": True, "hypercolumn_join": join, "levels": 3}
        return build_unet(network(**changes), 32).get_layer("columns").output.shape[-1]

    assert (channels("concatenate"), channels("add")) == (3 * 4, 4)


def test_the_convolution_after_a_skip_has_the_kernel_of_the_settings():
    def kernel(changes: dict) -> tuple[int, int]:
        return build_unet(network(residual=True, **changes), 32).get_layer("up1_merge").kernel_size

    assert (kernel({}), kernel({"skip_kernel": 1})) == ((3, 3), (1, 1))


def test_a_size_that_does_not_fit_is_refused_and_one_that_fits_is_named():
    with pytest.raises(UserError, match="96 or 112"):
        build_unet(network(levels=4), 101)
    assert output_size(load("paper").network, 572) == 388


@pytest.mark.backends
def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    def weights(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(int(np.random.default_rng().integers(1000)))  # any global state
        return build_unet(network(), 16, seed=seed).get_weights()

    one, same, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(one, same, strict=True))
    assert not all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.backends
def test_the_output_is_float32_logits_even_in_half_precision():
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = build_unet(network(levels=1), 16)
    finally:
        keras.config.set_dtype_policy(policy)
    answer = model(np.full((1, 16, 16, 1), 200, np.float32))
    assert keras.backend.standardize_dtype(answer.dtype) == "float32"
    assert model.get_layer("down1_conv1").compute_dtype == "bfloat16"
