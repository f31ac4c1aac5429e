"""Sections ``predict`` and ``submit``: from a trained network to the CSV."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.config.schema.base import TILE, Count, OpenFraction, Section

ViewName = Literal["plain", "flip", "shift", "zoom_in", "zoom_out", "brighter", "darker"]
"""Views of a tile for test-time augmentation; see ``pipeline/prediction/views.py``."""
Rule = Literal[
    "fill_holes",
    "drop_small_parts",
    "constant_empty",
    "empty_gate",
    "neighbor_border",
    "neighbor_empty",
    "neighbor_stripe",
]
"""Post-processing rules after the threshold; see ``pipeline/scoring/postprocess.py``."""


class PredictSettings(Section, frozen=True):
    """Inference on validation and test tiles."""

    tta: Annotated[tuple[ViewName, ...], Meta(min_length=1)] = ("plain", "flip")
    """Test-time augmentation: the probabilities are the mean over these views of a tile. Their order has no effect."""
    batch_size: Count = 64
    """Images per step; each view counts as one."""


class SubmitSettings(Section, frozen=True):
    """From probabilities to the CSV. ``auto`` chooses on out-of-fold predictions."""

    threshold: OpenFraction | Literal["auto"] = "auto"
    """Probability above which a pixel is salt."""
    min_area: Annotated[int, Meta(ge=0, le=TILE * TILE)] | Literal["auto"] = "auto"
    """Smallest predicted mask in pixels that is kept; a smaller one becomes empty."""
    rules: tuple[Rule, ...] | Literal["auto"] = "auto"
    """``auto`` applies the rules that raise the score of out-of-fold tiles significantly; ``[]`` applies none. Rules
    named ``neighbor_`` need ``submit.neighbors``."""
    neighbors: bool = False
    """Also try rules for tiles that were cut directly above or below a labelled tile, whose mask continues in them. The
    stage ``mosaic`` finds these tiles."""
    message: str = ""
    """Added to the submission's message on Kaggle."""
