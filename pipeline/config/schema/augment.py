"""Section ``augment``: random transformations of training tiles."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pipeline.config.schema.base import TILE, Fraction, NonNegative, Positive, Section

Share = Annotated[float, Meta(gt=0.0, le=1.0)]
Exponent = Annotated[float, Meta(ge=0.01, le=1e6)]


class AugmentSettings(Section, frozen=True):
    """The augmentation policy, in the order in which it is applied. A probability of 0 turns a step off."""

    flip: Fraction = 0.5
    """Probability of a left-right flip (seismic sections have no up-down symmetry)."""
    crop: Fraction = 0.0
    """Probability of reflecting ``crop_border`` pixels around the tile and cropping 101x101 at random."""
    crop_border: Annotated[int, Meta(ge=0, le=100)] = 10
    """Pixels that ``crop`` reflects around the tile, so also the largest shift."""
    resized_crop: Fraction = 0.0
    """Probability of cropping a square at random and resizing it to 101x101."""
    resized_crop_area: tuple[Share, Share] = (0.64, 1.0)
    """Smallest and largest area of ``resized_crop``, as a fraction of the tile's; 0.64 is 0.8 of its side."""
    affine: Fraction = 0.6
    """Probability of one random shift, scale, rotation and shear together."""
    shift: Fraction = 0.1
    """Largest shift, as a fraction of the tile's side."""
    scale: tuple[Positive, Positive] = (0.85, 1.2)
    """Smallest and largest zoom of ``affine``, drawn for each axis on its own; 1 keeps the size."""
    rotate: NonNegative = 10.0
    """Largest rotation in degrees, in both directions."""
    shear: NonNegative = 5.0
    """Largest shear in degrees, in both directions, drawn for each axis on its own."""
    elastic: Fraction = 0.0
    """Probability of an elastic deformation."""
    elastic_alpha: NonNegative = 40.0
    """Displacements in pixels before smoothing."""
    elastic_sigma: Annotated[float, Meta(ge=1.0, le=1e6)] = 7.0
    """Standard deviation of the smoothing in pixels."""
    grid: Fraction = 0.2
    """Probability of a grid distortion."""
    grid_limit: Fraction = 0.3
    """Largest distortion of a grid cell, as a fraction of its side."""
    intensity: Fraction = 0.5
    """Probability of a random brightness and contrast."""
    brightness: Fraction = 0.15
    """Largest change of brightness, in both directions, as a fraction of the range of grey values."""
    contrast: Fraction = 0.15
    """Largest change of contrast, in both directions, as a fraction."""
    gamma: Fraction = 0.0
    """Probability of a random gamma correction."""
    gamma_limit: tuple[Exponent, Exponent] = (0.7, 1.4)
    """Smallest and largest exponent of ``gamma``; 1 changes no grey value by more than one."""
    cutout: Fraction = 0.0
    """Probability of covering a square of the image with middle grey; the mask is unchanged."""
    cutout_size: Annotated[int, Meta(ge=1, le=TILE)] = 30
    """Side of the square of ``cutout`` in pixels."""
