"""A small plain U-Net, to which tests add one setting at a time."""

from __future__ import annotations

from pipeline.config import NetworkSettings

PLAIN = {
    "stem": "none",
    "residual": False,
    "norm": "none",
    "blocks": 1,
    "dropout_kind": "element",
    "attention": "none",
    "hypercolumn": False,
    "deep_supervision": 0,
    "empty_head": 0,
}


def network(**changes) -> NetworkSettings:
    return NetworkSettings(**{"width": 4, "levels": 2, **PLAIN, **changes})
