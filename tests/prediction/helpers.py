"""Settings of a network that is created in a second."""

from __future__ import annotations

SMALL = [
    "network.width=4",
    "network.levels=1",
    "network.blocks=1",
    "network.residual=false",
    "network.attention=none",
    "network.hypercolumn=false",
    "network.deep_supervision=0",
    "network.empty_head=0",
    "train.precision=float32",
]
