"""The seismic image of a section: reflections, noise, and the display's grey values."""

from __future__ import annotations

import math

import cv2
import numpy as np

from pipeline.data.sources.geology.grid import HEIGHT, WIDTH, Grid, smooth


def amplitude_of(
    grid: Grid,
    impedance: np.ndarray,
    salt: np.ndarray,
    seabed: np.ndarray | None,
    wavelength: float,
    depth: float,
) -> np.ndarray:
    """Migrated amplitude, (360, 1100) float32; the sediments' reflections have unit standard deviation."""
    rng = grid.rng
    solid = cv2.GaussianBlur(salt.astype(np.float32), (0, 0), 0.7)
    thickness = np.cumsum(solid, axis=0)
    shadow = np.exp(-rng.uniform(0.002, 0.012) * smooth(thickness, 8)) * (1 - solid)
    light = np.clip(1 + 0.25 * grid.field(120, 90), 0.4, None)
    sediments = _reflect(impedance * (1 - solid), wavelength)
    scale = float(sediments[~salt].std()) if not salt.all() else 1.0
    amplitude = sediments / scale * (shadow + solid * rng.uniform(0, 0.25)) * light
    contrast = rng.uniform(0.9, 3.2) * np.clip(1 + 0.4 * grid.field(50, 60), 0.1, None)
    amplitude += contrast * _unit(_reflect(solid, wavelength)) * np.exp(-0.006 * np.maximum(thickness - 8, 0))
    level = rng.uniform(0.08, 0.3) + rng.uniform(0, 0.5) * depth * rng.random()
    # Remaining multiples and migration smiles run along the layers; within the salt, scattered energy has no direction.
    ambient = _noise(grid, wavelength, rng.uniform(1.5, 7), rng.normal(0, 0.35))
    ambient *= level * (0.7 + 0.6 * grid.rows / HEIGHT)
    chaos = _noise(grid, wavelength * rng.uniform(0.7, 1.6), 0.6 + rng.exponential(1), rng.uniform(0, math.pi))
    chaos *= rng.uniform(0.04, 0.5)
    amplitude += ambient * (1 - 0.75 * solid) + chaos * solid
    if seabed is not None:
        wet = np.clip(seabed - grid.rows, 0, 1)
        amplitude = amplitude * (1 - 0.97 * wet)
        amplitude += rng.uniform(2, 5) * _unit(_reflect(1 - wet, wavelength))
    return amplitude


def grey_values(grid: Grid, amplitude: np.ndarray) -> np.ndarray:
    """Grey values of the display, (360, 1100) uint8: automatic gain control, contrast and brightness, all random."""
    rng = grid.rng
    window = rng.uniform(18, 60)
    envelope = np.sqrt(smooth(amplitude**2, window)) + 0.05 * float(amplitude.std())
    gained = amplitude / envelope ** rng.uniform(0, 0.6)
    gained = gained / float(gained.std())
    contrast = float(np.clip(30 * np.exp(0.32 * rng.normal()), 12, 65))
    brightness = 121 + 15 * rng.normal() + rng.uniform(0, 10) * grid.field(70, 90)
    return np.clip(np.rint(brightness + contrast * gained), 0, 255).astype(np.uint8)


def _reflect(impedance: np.ndarray, wavelength: float) -> np.ndarray:
    """Reflections of impedance contrasts: (360, 1100) float32.

    The wavelet is an isotropic Ricker wavelet (a negative Laplacian of a Gaussian), which gives a plane reflector of
    any dip a Ricker wavelet along its normal, as migration does. The reflectivity is the vertical derivative, so that
    steep reflectors are weak, as in reality. Absorption lengthens the wavelet with depth.
    """
    reflectivity = np.diff(impedance, axis=0, prepend=impedance[:1])
    scaled = []
    for stretch in (1.0, 1.4):
        # The peak wavelength of a Ricker wavelet is sqrt(2) pi times the Gaussian's standard deviation.
        sigma = stretch * wavelength / (math.sqrt(2) * math.pi)
        scaled.append(cv2.Laplacian(cv2.GaussianBlur(reflectivity, (0, 0), sigma), cv2.CV_32F) * -(sigma**2.5))
    share = np.linspace(0, 1, len(impedance), dtype=np.float32)[:, None]
    return scaled[0] * (1 - share) + scaled[1] * share


def _unit(reflections: np.ndarray) -> np.ndarray:
    """Reflections scaled so that a strong one peaks near 2."""
    peak = float(np.abs(reflections).max())
    return reflections * (2 / peak) if peak > 0 else reflections


def _noise(grid: Grid, wavelength: float, length: float, angle: float) -> np.ndarray:
    """Band-limited noise of unit standard deviation, (360, 1100) float32.

    Args:
        grid: of the section.
        wavelength: in samples.
        length: in samples, over which the noise is correlated along ``angle``.
        angle: in radians.
    """
    rng = grid.rng
    sigma = wavelength / (math.sqrt(2) * math.pi)
    breadth = 0.6
    across, along = np.mgrid[-10:11, -10:11]
    first, second = along * np.cos(angle) + across * np.sin(angle), across * np.cos(angle) - along * np.sin(angle)
    kernel = np.exp(-0.5 * ((first / length) ** 2 + (second / breadth) ** 2)).astype(np.float32)
    white = rng.standard_normal((HEIGHT, WIDTH), np.float32)
    streaks = cv2.GaussianBlur(cv2.filter2D(white, cv2.CV_32F, kernel), (0, 0), 0.5 * sigma)
    noise = streaks - cv2.GaussianBlur(streaks, (0, 0), sigma * 1.6)
    return noise / noise.std()
