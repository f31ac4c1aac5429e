"""Made-up seismic sections with salt, for the built-in survey.

A section is modelled as an interpreter would explain one: layers are laid down flat, folded, tilted and faulted; salt
rises through them, drags them up along its flanks and cuts them off; the contrasts of acoustic impedance between
layers reflect a Ricker wavelet; noise, uneven illumination and the display's gain do the rest. Positions are in
samples (pixels); a section ties rows to depths in feet.

The terms are those of R. E. Sheriff, Encyclopedic Dictionary of Applied Geophysics (SEG); the wavelet is N. Ricker's
(1953), the shapes of salt are those that M. P. A. Jackson and M. R. Hudec, Salt Tectonics (2017), describe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

HEIGHT, WIDTH = 360, 1100
"""Size of a section in samples."""
SHALLOWEST, DEEPEST = 20.0, 985.0
"""Depths in feet between which sections lie."""
_STEPS = 4
"""Samples of the impedance log per sample of the section."""


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


@dataclass(frozen=True)
class _Grid:
    """The section's coordinates and its source of randomness."""

    draw: np.random.Generator
    rows: np.ndarray
    """(360, 1) float32."""
    columns: np.ndarray
    """(1, 1100) float32."""

    def field(self, tall: float, wide: float) -> np.ndarray:
        """(360, 1100) float32 smooth random field of unit spread that varies over tall x wide samples."""
        return self._field(HEIGHT, tall, wide)

    def curve(self, wide: float) -> np.ndarray:
        """(1, 1100) float32 smooth random curve of unit spread that varies over ``wide`` samples."""
        return self._field(1, 1, wide)

    def _field(self, height: int, tall: float, wide: float) -> np.ndarray:
        knots = (int(height / tall) + 4, int(WIDTH / wide) + 4)
        coarse = self.draw.standard_normal(knots, np.float32)
        fine = cv2.resize(coarse, (int(knots[1] * wide), int(knots[0] * tall)), interpolation=cv2.INTER_CUBIC)
        row, column = int(1.5 * tall), int(1.5 * wide)
        return fine[row : row + height, column : column + WIDTH]


def model_section(draw: np.random.Generator) -> Section:
    """Model one section.

    Args:
        draw: decides everything; the same state gives the same section.
    """
    grid = _Grid(draw, np.arange(HEIGHT, dtype=np.float32)[:, None], np.arange(WIDTH, dtype=np.float32)[None, :])
    spacing = draw.uniform(0.6, 1.3)
    top = draw.uniform(SHALLOWEST, DEEPEST - spacing * HEIGHT)
    salt = _salt(grid, top, spacing)
    inside = cv2.distanceTransform(salt.astype(np.uint8), cv2.DIST_L2, 5)
    # Without salt in the section the distance to it would be infinite.
    outside = np.minimum(cv2.distanceTransform((~salt).astype(np.uint8), cv2.DIST_L2, 5), WIDTH)
    seabed = _seabed(grid, salt, top)
    wavelength = float(np.clip(15 * np.exp(0.38 * draw.normal()), 7, 27))
    layers = _layers(grid, outside)
    impedance = _impedance(grid, layers, wavelength)
    amplitude = _amplitude(grid, impedance, salt, seabed, wavelength, (top + spacing * HEIGHT / 2) / DEEPEST)
    drawn = cv2.GaussianBlur(inside - outside, (0, 0), 1.5) + draw.uniform(0.3, 1.2) * grid.field(14, 14) > 0
    return Section(_display(grid, amplitude), drawn, top, spacing)


def _salt(grid: _Grid, top: float, spacing: float) -> np.ndarray:
    """(360, 1100) bool, where salt is. Shallow sections hold less of it than deep ones."""
    draw = grid.draw
    salt = np.zeros((HEIGHT, WIDTH), bool)
    middle = (top + spacing * HEIGHT / 2) / DEEPEST
    # An uneven boundary is a smooth one in uneven coordinates.
    roughness = draw.uniform(0.3, 1.3)
    rows = grid.rows + roughness * (7 * grid.field(60, 60) + 2 * grid.field(13, 13))
    columns = grid.columns + roughness * (11 * grid.field(60, 60) + 2 * grid.field(13, 13))
    if draw.random() > 0.6 + 1.2 * middle:
        return salt
    kind = draw.choice(["domes", "canopy", "massif"], p=[0.55, 0.25, 0.2])
    # Crowns keep to absolute depths, so that most of a shallow section lies above them.
    lift = 150 * (0.5 - middle)
    if kind == "domes":
        count = int(draw.integers(1, 5))
        for place in range(count):
            centre = WIDTH * (place + draw.uniform(0.1, 0.9)) / count
            salt |= _dome(draw, rows, columns, centre, draw.uniform(-40, 260) + lift, draw.uniform(30, 130))
    elif kind == "canopy":
        for _ in range(int(draw.integers(1, 4))):
            centre, crown = draw.uniform(0, WIDTH), draw.uniform(20, 240) + lift
            reach, thickness = draw.uniform(130, 430), draw.uniform(35, 130)
            roof = crown + draw.uniform(8, 40) * grid.curve(draw.uniform(110, 260))
            profile = np.sqrt(np.clip(1 - ((columns - centre) / reach) ** 2, 0, None)) * thickness
            profile *= 1 + 0.3 * grid.curve(150)
            salt |= (rows > roof + 0.25 * (thickness - profile)) & (rows < roof + profile)
            salt |= _dome(draw, rows, columns, centre, crown + 0.6 * thickness, draw.uniform(15, 45))
    else:
        relief = draw.uniform(25, 95) * grid.curve(draw.uniform(110, 240))
        salt |= rows > draw.uniform(110, 280) + lift + relief
    return salt


def _dome(
    draw: np.random.Generator, rows: np.ndarray, columns: np.ndarray, centre: float, crown: float, radius: float
) -> np.ndarray:
    """(360, 1100) bool: a diapir with a rounded crown that is rooted below the section."""
    below = rows - crown
    cap = radius * draw.uniform(0.8, 2.2)
    rounded = np.sqrt(np.clip(1 - (1 - np.clip(below / cap, 0, 1)) ** 2, 0, None))
    # A teardrop narrows below its cap, a pillow widens.
    flank = np.clip(1 + draw.uniform(-0.5, 0.8) * np.clip(below - cap, 0, None) / 200, 0.35, None)
    axis = centre + draw.uniform(-0.35, 0.35) * below
    return (below > 0) & (np.abs(columns - axis) < radius * rounded * flank)


def _seabed(grid: _Grid, salt: np.ndarray, top: float) -> np.ndarray | None:
    """(1, 1100) float32 row of the sea floor, in some of the sections that start near the surface."""
    draw = grid.draw
    if top > 250 or draw.random() > 0.3:
        return None
    floor = draw.uniform(20, 130) + draw.uniform(5, 25) * grid.curve(draw.uniform(150, 350))
    crown = np.where(salt.any(axis=0), salt.argmax(axis=0), HEIGHT)[None, :]
    # The sea is above the salt.
    return np.minimum(floor, cv2.GaussianBlur(cv2.erode(crown.astype(np.float32), np.ones((1, 41))), (0, 0), 12) - 15)


def _layers(grid: _Grid, outside: np.ndarray) -> np.ndarray:
    """(360, 1100) float32 stratigraphic position of each sample: the row in which its layer was laid down."""
    draw, rows, columns = grid.draw, grid.rows, grid.columns
    steepness = float(draw.choice([0.08, 0.3, 0.9], p=[0.35, 0.4, 0.25]))
    folds = draw.uniform(4, 45) * grid.curve(draw.uniform(80, 350))
    folds = folds + draw.uniform(1, 12) * grid.field(90, 60) + draw.uniform(0, 1.2) * grid.field(25, 20)
    growth = 0.5 + rows / HEIGHT  # folds that grow while layers are laid down are stronger below
    layers = rows + folds * growth + steepness * draw.normal() * (columns - WIDTH / 2)
    for _ in range(int(draw.integers(0, 6))):
        hade = float(draw.choice([-1, 1])) * draw.uniform(0.15, 0.9)
        plane = draw.uniform(-0.1, 1.1) * WIDTH + hade * rows - 0.0006 * hade * rows**2
        throw = draw.uniform(4, 26)
        layers = layers + math.copysign(throw, hade) / (1 + np.exp(-np.clip((columns - plane) / 0.8, -30, 30)))
    if draw.random() < 0.35:
        # An unconformity: what lies above it was laid down later, and is less deformed.
        surface = draw.uniform(40, 260) + 15 * grid.curve(250)
        later = rows + 0.15 * folds + 0.04 * draw.normal() * columns
        layers = np.where(rows < surface, later, layers + 500)
    # Rising salt drags the layers beside it upwards, and arches those above it.
    reach = draw.uniform(18, 75)
    layers = layers + reach * draw.uniform(0.2, 1.1) * np.exp(-_smooth(outside, 4) / reach)
    return layers.astype(np.float32)


def _impedance(grid: _Grid, layers: np.ndarray, wavelength: float) -> np.ndarray:
    """(360, 1100) float32 logarithm of acoustic impedance of the layers, of about unit spread."""
    draw = grid.draw
    for _ in range(int(draw.integers(0, 3))):
        # A slump: over some stretch of time the layers were laid down in disorder.
        centre, thickness = draw.uniform(0, HEIGHT), draw.uniform(15, 60)
        disorder = np.exp(-(((layers - centre) / thickness) ** 2)) * draw.uniform(1, 6)
        layers = layers + disorder * grid.field(9, 14)
    lowest = float(layers.min()) - 2
    length = int((float(layers.max()) + 2 - lowest) * _STEPS) + 1
    borders = np.cumsum(draw.exponential(wavelength * draw.uniform(0.12, 0.3), length) + 0.5)
    borders = borders[borders < length / _STEPS]
    values = draw.standard_normal(len(borders) + 1)
    log = values[np.searchsorted(borders, np.arange(length) / _STEPS)]
    # Quiet and lively intervals take turns.
    knots = draw.normal(0, draw.uniform(0.05, 0.45), length // (30 * _STEPS) + 2)
    log = log * np.exp(np.interp(np.arange(length), np.arange(len(knots)) * 30 * _STEPS, knots))
    log = np.convolve(log, np.full(_STEPS, 1 / _STEPS), "same").astype(np.float32)
    found = log[((layers - lowest) * _STEPS).astype(np.int32)]
    return found * np.exp(0.3 * grid.field(50, 70))


def _amplitude(
    grid: _Grid,
    impedance: np.ndarray,
    salt: np.ndarray,
    seabed: np.ndarray | None,
    wavelength: float,
    depth: float,
) -> np.ndarray:
    """(360, 1100) float32 migrated amplitude; the sediments' reflections have unit spread."""
    draw = grid.draw
    solid = cv2.GaussianBlur(salt.astype(np.float32), (0, 0), 0.7)
    thickness = np.cumsum(solid, axis=0)
    shadow = np.exp(-draw.uniform(0.002, 0.012) * _smooth(thickness, 8)) * (1 - solid)
    light = np.clip(1 + 0.25 * grid.field(120, 90), 0.4, None)
    sediments = _reflect(impedance * (1 - solid), wavelength)
    scale = float(sediments[~salt].std()) if not salt.all() else 1.0
    amplitude = sediments / scale * (shadow + solid * draw.uniform(0, 0.25)) * light
    contrast = draw.uniform(0.9, 3.2) * np.clip(1 + 0.4 * grid.field(50, 60), 0.1, None)
    amplitude += contrast * _unit(_reflect(solid, wavelength)) * np.exp(-0.006 * np.maximum(thickness - 8, 0))
    level = draw.uniform(0.08, 0.3) + draw.uniform(0, 0.5) * depth * draw.random()
    # What is left of multiples and smiles runs along the layers; in the salt, scattered energy comes from anywhere.
    ambient = _noise(grid, wavelength, draw.uniform(1.5, 7), draw.normal(0, 0.35))
    ambient *= level * (0.7 + 0.6 * grid.rows / HEIGHT)
    chaos = _noise(grid, wavelength * draw.uniform(0.7, 1.6), 0.6 + draw.exponential(1), draw.uniform(0, math.pi))
    chaos *= draw.uniform(0.04, 0.5)
    amplitude += ambient * (1 - 0.75 * solid) + chaos * solid
    if seabed is not None:
        wet = np.clip(seabed - grid.rows, 0, 1)
        amplitude = amplitude * (1 - 0.97 * wet)
        amplitude += draw.uniform(2, 5) * _unit(_reflect(1 - wet, wavelength))
    return amplitude


def _reflect(impedance: np.ndarray, wavelength: float) -> np.ndarray:
    """Reflections of impedance contrasts: (360, 1100) float32.

    The wavelet is an isotropic Ricker wavelet (a negative Laplacian of a Gaussian), which gives a plane reflector of
    any dip a Ricker wavelet along its normal, as migration does. The reflectivity is the vertical derivative, so that
    steep reflectors come out weak, as they do in reality. Absorption lengthens the wavelet with depth.
    """
    reflectivity = np.diff(impedance, axis=0, prepend=impedance[:1])
    found = []
    for stretch in (1.0, 1.4):
        # The peak wavelength of a Ricker wavelet is sqrt(2) pi times the Gaussian's spread.
        sigma = stretch * wavelength / (math.sqrt(2) * math.pi)
        found.append(cv2.Laplacian(cv2.GaussianBlur(reflectivity, (0, 0), sigma), cv2.CV_32F) * -(sigma**2.5))
    share = np.linspace(0, 1, len(impedance), dtype=np.float32)[:, None]
    return found[0] * (1 - share) + found[1] * share


def _smooth(image: np.ndarray, spread: float) -> np.ndarray:
    """A Gaussian blur of a spread of several samples, taken where it is cheap: at a lower resolution."""
    step = spread / 2
    small = cv2.resize(image, (round(WIDTH / step), round(HEIGHT / step)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), 2), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def _unit(reflections: np.ndarray) -> np.ndarray:
    """Reflections scaled so that a strong one peaks near 2."""
    peak = float(np.abs(reflections).max())
    return reflections * (2 / peak) if peak > 0 else reflections


def _noise(grid: _Grid, wavelength: float, length: float, angle: float) -> np.ndarray:
    """(360, 1100) float32 band-limited noise of unit spread; ``length`` in samples draws it out in a direction."""
    draw = grid.draw
    sigma = wavelength / (math.sqrt(2) * math.pi)
    breadth = 0.6
    across, along = np.mgrid[-10:11, -10:11]
    first, second = along * np.cos(angle) + across * np.sin(angle), across * np.cos(angle) - along * np.sin(angle)
    kernel = np.exp(-0.5 * ((first / length) ** 2 + (second / breadth) ** 2)).astype(np.float32)
    white = draw.standard_normal((HEIGHT, WIDTH), np.float32)
    drawn_out = cv2.GaussianBlur(cv2.filter2D(white, cv2.CV_32F, kernel), (0, 0), 0.5 * sigma)
    noise = drawn_out - cv2.GaussianBlur(drawn_out, (0, 0), sigma * 1.6)
    return noise / noise.std()


def _display(grid: _Grid, amplitude: np.ndarray) -> np.ndarray:
    """(360, 1100) uint8 grey values: automatic gain control of random strength, then contrast and brightness."""
    draw = grid.draw
    window = draw.uniform(18, 60)
    envelope = np.sqrt(_smooth(amplitude**2, window)) + 0.05 * float(amplitude.std())
    gained = amplitude / envelope ** draw.uniform(0, 0.6)
    gained = gained / float(gained.std())
    contrast = float(np.clip(30 * np.exp(0.32 * draw.normal()), 12, 65))
    brightness = 121 + 15 * draw.normal() + draw.uniform(0, 10) * grid.field(70, 90)
    return np.clip(np.rint(brightness + contrast * gained), 0, 255).astype(np.uint8)
