"""One vertical section through the ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.data.sources.geology.grid import HEIGHT, WIDTH, Grid
from pipeline.data.sources.geology.layers import deform_layers, impedance_of, sea_floor
from pipeline.data.sources.geology.salt import salt_bodies
from pipeline.data.sources.geology.seismic import amplitude_of, grey_values

SHALLOWEST, DEEPEST = 20.0, 985.0
"""Depths in feet between which sections lie."""


@dataclass(frozen=True)
class Section:
    """A vertical slice through the ground, as recorded and as interpreted."""

    image: np.ndarray
    """(360, 1100) uint8 grey values of seismic amplitude."""
    salt: np.ndarray
    """(360, 1100) bool, where the interpreter draws salt."""
    top: float
    """Depth of the first row in feet."""
    spacing: float
    """Feet from row to row."""

    def depth(self, row: float) -> float:
        """Depth of a row in feet."""
        return self.top + self.spacing * row


def model_section(rng: np.random.Generator) -> Section:
    """Model one section at a random depth.

    Args:
        rng: source of all randomness; the same state gives the same section.
    """
    grid = Grid(rng, np.arange(HEIGHT, dtype=np.float32)[:, None], np.arange(WIDTH, dtype=np.float32)[None, :])
    spacing = rng.uniform(0.6, 1.3)
    top = rng.uniform(SHALLOWEST, DEEPEST - spacing * HEIGHT)
    middle = (top + spacing * HEIGHT / 2) / DEEPEST
    salt = salt_bodies(grid, middle)
    inside = cv2.distanceTransform(salt.astype(np.uint8), cv2.DIST_L2, 5)
    # In a section without salt the distance would be infinite.
    outside = np.minimum(cv2.distanceTransform((~salt).astype(np.uint8), cv2.DIST_L2, 5), WIDTH)
    seabed = sea_floor(grid, salt, top)
    wavelength = float(np.clip(15 * np.exp(0.38 * rng.normal()), 7, 27))
    layers = deform_layers(grid, outside)
    impedance = impedance_of(grid, layers, wavelength)
    amplitude = amplitude_of(grid, impedance, salt, seabed, wavelength, middle)
    # The interpreter's outline is smoother than the salt, and slightly off.
    interpreted = cv2.GaussianBlur(inside - outside, (0, 0), 1.5) + rng.uniform(0.3, 1.2) * grid.field(14, 14) > 0
    return Section(grey_values(grid, amplitude), interpreted, top, spacing)
