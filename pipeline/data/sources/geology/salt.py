"""Salt bodies of a section: domes, canopies and massifs."""

from __future__ import annotations

import numpy as np

from pipeline.data.sources.geology.grid import HEIGHT, WIDTH, Grid


def salt_bodies(grid: Grid, middle: float) -> np.ndarray:
    """Model where salt is: (360, 1100) bool. Shallow sections have less of it than deep ones.

    Args:
        grid: of the section.
        middle: depth of the section's middle as a share of the largest depth.
    """
    rng = grid.rng
    salt = np.zeros((HEIGHT, WIDTH), bool)
    # An uneven boundary is a smooth one in uneven coordinates.
    roughness = rng.uniform(0.3, 1.3)
    rows = grid.rows + roughness * (7 * grid.field(60, 60) + 2 * grid.field(13, 13))
    columns = grid.columns + roughness * (11 * grid.field(60, 60) + 2 * grid.field(13, 13))
    if rng.random() > 0.6 + 1.2 * middle:
        return salt
    kind = rng.choice(["domes", "canopy", "massif"], p=[0.55, 0.25, 0.2])
    # Crowns lie at absolute depths, so that most of a shallow section is above them.
    lift = 150 * (0.5 - middle)
    if kind == "domes":
        count = int(rng.integers(1, 5))
        for number in range(count):
            centre = WIDTH * (number + rng.uniform(0.1, 0.9)) / count
            salt |= _dome(rng, rows, columns, centre, rng.uniform(-40, 260) + lift, rng.uniform(30, 130))
    elif kind == "canopy":
        for _ in range(int(rng.integers(1, 4))):
            centre, crown = rng.uniform(0, WIDTH), rng.uniform(20, 240) + lift
            reach, thickness = rng.uniform(130, 430), rng.uniform(35, 130)
            roof = crown + rng.uniform(8, 40) * grid.curve(rng.uniform(110, 260))
            profile = np.sqrt(np.clip(1 - ((columns - centre) / reach) ** 2, 0, None)) * thickness
            profile *= 1 + 0.3 * grid.curve(150)
            salt |= (rows > roof + 0.25 * (thickness - profile)) & (rows < roof + profile)
            salt |= _dome(rng, rows, columns, centre, crown + 0.6 * thickness, rng.uniform(15, 45))
    else:
        relief = rng.uniform(25, 95) * grid.curve(rng.uniform(110, 240))
        salt |= rows > rng.uniform(110, 280) + lift + relief
    return salt


def _dome(
    rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray, centre: float, crown: float, radius: float
) -> np.ndarray:
    """(360, 1100) bool: a diapir with a rounded crown and its root below the section."""
    below = rows - crown
    cap = radius * rng.uniform(0.8, 2.2)
    rounded = np.sqrt(np.clip(1 - (1 - np.clip(below / cap, 0, 1)) ** 2, 0, None))
    # A teardrop narrows below its cap, a pillow widens.
    flank = np.clip(1 + rng.uniform(-0.5, 0.8) * np.clip(below - cap, 0, None) / 200, 0.35, None)
    axis = centre + rng.uniform(-0.35, 0.35) * below
    return (below > 0) & (np.abs(columns - axis) < radius * rounded * flank)
