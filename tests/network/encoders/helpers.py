"""Small networks for the tests of encoders, and the shapes of their skips."""

from __future__ import annotations

import re
from typing import Any

import keras

from pipeline.config import NetworkSettings

SMALL: dict[str, Any] = {"width": 4, "width_max": 16, "blocks": 1, "deep_supervision": 0, "empty_head": 0}


def network(**changes: Any) -> NetworkSettings:
    return NetworkSettings(**{**SMALL, **changes})


def skips(model: keras.Model) -> list[tuple[int, ...]]:
    """Shapes of the skips, fine to coarse."""
    found = [layer for layer in model.layers if re.fullmatch(r"up\d_concat", layer.name)]
    return [layer.input[1].shape[1:] for layer in sorted(found, key=lambda layer: layer.name)]
