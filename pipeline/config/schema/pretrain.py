"""Section ``pretrain``: training without labels, before the folds."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.config.schema.base import Count, OpenFraction, Positive, Section, Seed


class PretrainSettings(Section, frozen=True):
    """Pretraining for ``train.pretrain = "masked"``: the network fills in masked blocks of labelled and test tiles,
    without their masks. One network serves all folds, and all experiments with the same input and network."""

    views: Annotated[int, Meta(ge=1, le=10**7)] = 64000
    """Number of masked tiles that it is trained on: several passes over all tiles, each with other random masks."""
    block: Annotated[int, Meta(ge=1, le=50)] = 8
    """Side of a block in pixels of the tile."""
    fraction: OpenFraction = 0.5
    """Fraction of a tile's blocks that are masked."""
    learning_rate: Positive = 1.5e-3
    """Peak of the cosine schedule, with AdamW."""
    batch_size: Count = 16
    """Tiles per step."""
    layers: Literal["all", "encoder"] = "all"
    """Layers that a fold starts from: ``all`` but the heads, or those of the contracting path alone (``encoder``). It
    changes the folds, not the pretraining."""
    seed: Seed = 0
    """Seed of the initial weights, the order of the tiles, masks, flips and dropout."""
