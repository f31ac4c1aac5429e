"""Sections about tiles: the synthetic survey, the split into folds, the network's input."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.config.schema.base import Section, Seed

ExtraChannels = Literal["grey", "coordinates", "depth"]


class SurveySettings(Section, frozen=True):
    """The built-in synthetic survey (dataset ``demo``)."""

    train: Annotated[int, Meta(ge=10, le=4000)] = 600
    """Number of labelled tiles."""
    test: Annotated[int, Meta(ge=1, le=18000)] = 300
    """Number of tiles without labels."""
    seed: Seed = 2018
    """Another seed gives other tiles."""


class SplitSettings(Section, frozen=True):
    """How labelled tiles are split into folds."""

    folds: Annotated[int, Meta(ge=2, le=1000)] = 5
    """Number of folds: one network is trained for each, and scored on the tiles that it was not trained on."""
    by: Literal["depth", "coverage", "depth+coverage", "random"] = "depth"
    """What the folds are stratified by."""
    bins: Annotated[int, Meta(ge=2, le=100)] = 10
    """Number of quantile classes of depth, and of classes of coverage, to stratify by."""
    seed: Seed = 0
    """Another seed assigns the tiles to other folds."""
    group: Literal["none", "mosaic"] = "none"
    """``mosaic`` puts tiles that were cut next to each other, and copies of a tile, into one fold, so that no network
    is scored on neighbours of tiles that it was trained on. The stage ``mosaic`` finds them."""
    mosaic_ratio: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    """Two tiles are neighbours where each one's border is the other's nearest, at most this share as far as the second
    nearest."""


class InputSettings(Section, frozen=True):
    """How a 101x101 tile becomes the network's input, and back."""

    fit: Literal["pad", "resize"] = "pad"
    """``pad`` mirrors the borders and crops the output; ``resize`` interpolates both ways."""
    size: Annotated[int, Meta(ge=16, le=1024)] = 112
    """Side of the network's input in pixels."""
    resize: Annotated[int, Meta(ge=0, le=1024)] = 0
    """With ``fit = "resize"``: side that a tile is resized to before its borders are mirrored up to ``size``, as in
    "192 in 224". 0 resizes to ``size``."""
    channels: ExtraChannels = "grey"
    """Input channels besides the grey values: ``grey`` adds none, ``coordinates`` the position of each pixel in the
    tile (two channels), ``depth`` the tile's depth (one channel)."""
