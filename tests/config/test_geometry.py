"""Settings of encoders that contradict each other, or the size of the input, are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline.config import UserError
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
