"""The samples of a section: their coordinates, and smooth random fields and blurs over them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.config import TILE

HEIGHT, WIDTH = max(360, TILE), max(1100, TILE)
"""Size of a section in samples; no smaller than a tile."""


@dataclass(frozen=True)
class Grid:
    """Coordinates of a section, and its random number generator."""

    rng: np.random.Generator
    rows: np.ndarray
    """(360, 1) float32."""
    columns: np.ndarray
    """(1, 1100) float32."""

    def field(self, tall: float, wide: float) -> np.ndarray:
        """Smooth random field, (360, 1100) float32 of about unit spread, that varies over tall x wide samples."""
        return self._field(HEIGHT, tall, wide)

    def curve(self, wide: float) -> np.ndarray:
        """Smooth random curve, (1, 1100) float32 of about unit spread, that varies over ``wide`` samples."""
        return self._field(1, 1, wide)

    def _field(self, height: int, tall: float, wide: float) -> np.ndarray:
        knots = (int(height / tall) + 4, int(WIDTH / wide) + 4)
        coarse = self.rng.standard_normal(knots, np.float32)
        fine = cv2.resize(coarse, (int(knots[1] * wide), int(knots[0] * tall)), interpolation=cv2.INTER_CUBIC)
        row, column = int(1.5 * tall), int(1.5 * wide)
        return fine[row : row + height, column : column + WIDTH]


def smooth(image: np.ndarray, spread: float) -> np.ndarray:
    """Gaussian blur with a standard deviation of several samples, computed at a lower resolution, which is faster."""
    step = spread / 2
    small = cv2.resize(image, (round(WIDTH / step), round(HEIGHT / step)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), 2), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
