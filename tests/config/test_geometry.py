"""Settings of encoders that contradict each other, or the size of the input, are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline.config import UserError, geometry, load
from pipeline.config.geometry import output_size
from tests.network.encoders.helpers import network


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "resnet34", "levels": 4}, "take network.levels = 3"),
        ({"encoder": "ResNet50", "levels": 5}, "take network.levels = 4"),
        ({"encoder": "ResNet50", "stem": "none"}, "ResNet50 has its own stem"),
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
def test_contradicting_settings_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(UserError, match=re.escape(message)):
        output_size(network(**changes), 128)


def test_a_size_that_an_encoder_cannot_halve_is_refused():
    with pytest.raises(UserError, match=r"input\.size = 112 does not fit a network of 4 levels; take 96 or 128"):
        output_size(network(encoder="ResNet50", levels=4), 112)


@pytest.mark.parametrize(
    ("tile", "assignments", "message"),
    [
        (101, "input.size=100", "input.size = 100 does not fit a network of 3 levels; take 112 or 128"),
        (101, "input.size=96", "fewer than a tile's 101; take 112 or 128, or input.fit = resize"),
        (101, "input.size=320", "cannot be mirrored that far; take 272 or 288"),
        (101, "input.size=100 input.fit=resize", "take 96 or 112"),
        (101, "input.size=180 input.fit=resize input.resize=160", "take 176 or 192"),
        (101, "input.size=150 input.fit=resize input.resize=160", "take 160 or 176"),
        (101, "input.size=100 input.resize=160", "input.resize needs input.fit = resize"),
        (64, "input.size=60", "take 64 or 80"),
        (64, "input.size=48", "fewer than a tile's 64; take 64 or 80"),
    ],
)
def test_the_sizes_that_an_error_names_are_accepted(
    monkeypatch: pytest.MonkeyPatch, tile: int, assignments: str, message: str
):
    monkeypatch.setattr(geometry, "TILE", tile)
    settings = load("unet", assignments.split())
    with pytest.raises(UserError) as error:
        geometry.check(settings)
    assert message in str(error.value)
    for size in re.findall(r"take (\d+) or (\d+)", str(error.value)):
        for each in size:
            geometry.check(load("unet", [*assignments.split(), f"input.size={each}"]))
