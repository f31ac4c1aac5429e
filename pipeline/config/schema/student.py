"""Section ``student``: training on test tiles that other experiments have labelled."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.config.schema.base import Fraction, OpenFraction, Section


class StudentSettings(Section, frozen=True):
    """Training on test tiles with soft labels (pseudo-labels), the mean probabilities of other experiments' networks.

    The labels of fold K come from the teachers' networks of fold K alone, which have not seen its validation tiles. See
    ``pipeline/training/pseudo_labels.py``.
    """

    teachers: tuple[str, ...] = ()
    """Experiments that label the test tiles, for example ``["unet"]``; several (other seeds, other networks) are
    averaged. They are trained first, on the folds of this experiment. A teacher may be a student itself: a second
    round. Empty turns it off."""
    fraction: OpenFraction = 0.5
    """Fraction of an epoch's tiles that are labelled test tiles; the length of the epoch does not change."""
    end: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.8
    """Fraction of the epochs after which only the competition's labelled tiles are trained on."""
    uncertain: tuple[Fraction, Fraction] = (0.2, 0.8)
    """Probabilities between which a pixel counts as uncertain."""
    certain_pixels: Fraction = 0.9
    """Test tiles are used if at least this fraction of their pixels is not uncertain."""
    balance: Literal["labelled", "equal", "none"] = "labelled"
    """How often an epoch draws test tiles of each coverage class (no salt, and ten classes of equal width):
    ``labelled``, in the proportions of the fold's labelled tiles, ``equal``, each class alike, or ``none``, all test
    tiles alike, most of which are then tiles without salt."""
