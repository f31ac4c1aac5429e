"""Sediment layers of a section: their deformation, their impedance, and the sea floor above them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from pipeline.data.sources.geology.grid import HEIGHT, WIDTH, Grid, smooth

_STEPS = 4
"""Samples of the impedance log per sample of the section."""


def sea_floor(grid: Grid, salt: np.ndarray, top: float) -> np.ndarray | None:
    """Row of the sea floor, (1, 1100) float32, in some of the sections that start near the surface, else None."""
    rng = grid.rng
    if top > 250 or rng.random() > 0.3:
        return None
    floor = rng.uniform(20, 130) + rng.uniform(5, 25) * grid.curve(rng.uniform(150, 350))
    crown = np.where(salt.any(axis=0), salt.argmax(axis=0), HEIGHT)[None, :]
    # The sea floor lies above the salt.
    return np.minimum(floor, cv2.GaussianBlur(cv2.erode(crown.astype(np.float32), np.ones((1, 41))), (0, 0), 12) - 15)


def deform_layers(grid: Grid, outside: np.ndarray) -> np.ndarray:
    """Stratigraphic position of each sample, (360, 1100) float32: the row in which its layer was laid down.

    Args:
        grid: of the section.
        outside: (360, 1100) float32, distance to the salt in samples.
    """
    rng, rows, columns = grid.rng, grid.rows, grid.columns
    steepness = float(rng.choice([0.08, 0.3, 0.9], p=[0.35, 0.4, 0.25]))
    folds = rng.uniform(4, 45) * grid.curve(rng.uniform(80, 350))
    folds = folds + rng.uniform(1, 12) * grid.field(90, 60) + rng.uniform(0, 1.2) * grid.field(25, 20)
    growth = 0.5 + rows / HEIGHT  # folds that grow while layers are laid down are stronger below
    layers = rows + folds * growth + steepness * rng.normal() * (columns - WIDTH / 2)
    for _ in range(int(rng.integers(0, 6))):
        hade = float(rng.choice([-1, 1])) * rng.uniform(0.15, 0.9)
        plane = rng.uniform(-0.1, 1.1) * WIDTH + hade * rows - 0.0006 * hade * rows**2
        throw = rng.uniform(4, 26)
        layers = layers + math.copysign(throw, hade) / (1 + np.exp(-np.clip((columns - plane) / 0.8, -30, 30)))
    if rng.random() < 0.35:
        # An unconformity: the layers above it were laid down later and are less deformed.
        surface = rng.uniform(40, 260) + 15 * grid.curve(250)
        later = rows + 0.15 * folds + 0.04 * rng.normal() * columns
        layers = np.where(rows < surface, later, layers + 500)
    # Rising salt drags the layers beside it upwards, and arches those above it.
    reach = rng.uniform(18, 75)
    layers = layers + reach * rng.uniform(0.2, 1.1) * np.exp(-smooth(outside, 4) / reach)
    return layers.astype(np.float32)


def impedance_of(grid: Grid, layers: np.ndarray, wavelength: float) -> np.ndarray:
    """Logarithm of the layers' acoustic impedance, (360, 1100) float32 of about unit standard deviation."""
    rng = grid.rng
    for _ in range(int(rng.integers(0, 3))):
        # A slump: for some time the layers were laid down in disorder.
        centre, thickness = rng.uniform(0, HEIGHT), rng.uniform(15, 60)
        disorder = np.exp(-(((layers - centre) / thickness) ** 2)) * rng.uniform(1, 6)
        layers = layers + disorder * grid.field(9, 14)
    lowest = float(layers.min()) - 2
    length = int((float(layers.max()) + 2 - lowest) * _STEPS) + 1
    borders = np.cumsum(rng.exponential(wavelength * rng.uniform(0.12, 0.3), length) + 0.5)
    borders = borders[borders < length / _STEPS]
    values = rng.standard_normal(len(borders) + 1)
    log = values[np.searchsorted(borders, np.arange(length) / _STEPS)]
    # Intervals of weak and strong contrasts alternate.
    knots = rng.normal(0, rng.uniform(0.05, 0.45), length // (30 * _STEPS) + 2)
    log = log * np.exp(np.interp(np.arange(length), np.arange(len(knots)) * 30 * _STEPS, knots))
    log = np.convolve(log, np.full(_STEPS, 1 / _STEPS), "same").astype(np.float32)
    impedance = log[((layers - lowest) * _STEPS).astype(np.int32)]
    return impedance * np.exp(0.3 * grid.field(50, 70))
