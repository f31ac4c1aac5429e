"""The stages of the ResNet-34: shapes, blocks and parameters of the paper."""

from __future__ import annotations

import re
from typing import Any

import keras
import pytest

from pipeline.network.unet import build_unet
from tests.network.encoders.helpers import network, skips


@pytest.mark.parametrize(
    ("encoder", "stem", "levels", "shapes"),
    [
        ("resnet34", "none", 3, [(32, 32, 4), (16, 16, 8), (8, 8, 16)]),
        ("se_resnet34", "stride2", 3, [(16, 16, 4), (8, 8, 8), (4, 4, 16)]),
        ("resnet34", "stride2", 2, [(16, 16, 4), (8, 8, 8)]),
        ("se_resnet34", "stride4", 4, [(16, 16, 4), (8, 8, 4), (4, 4, 8), (2, 2, 16)]),
    ],
)
def test_a_resnet_gives_a_skip_at_every_stride(encoder: Any, stem: Any, levels: int, shapes: list):
    model = build_unet(network(encoder=encoder, stem=stem, levels=levels), 32)
    assert skips(model) == shapes
    assert model.output_shape == (None, 32, 32, 1)


@pytest.fixture(scope="module")
def papers() -> keras.Model:
    """A network with a ResNet-34 of the paper's width."""
    return build_unet(network(encoder="resnet34", width=64, width_max=512, stem="stride4", levels=4), 128)


def test_the_blocks_are_those_of_a_resnet34(papers: keras.Model):
    names = {layer.name for layer in papers.layers}
    blocks = [len({n for n in names if re.fullmatch(rf"stage{stage}_block\d_conv2", n)}) for stage in (1, 2, 3, 4)]
    assert blocks == [3, 4, 6, 3]
    assert not any("_se_" in name for name in names)
    squeezed = {layer.name for layer in build_unet(network(encoder="se_resnet34"), 64).layers}
    assert sum(name.endswith("_se_excite") for name in squeezed) == 3 + 4 + 6 + 3


def test_a_resnet34_of_the_papers_width_has_its_number_of_parameters(papers: keras.Model):
    own = sum(layer.count_params() for layer in papers.layers if layer.name.startswith("stage"))
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
