"""Made-up sections."""

from __future__ import annotations

import numpy as np

from pipeline.data.sources.geology.grid import HEIGHT, WIDTH
from pipeline.data.sources.geology.section import model_section


def test_salt_is_rooted_below() -> None:
    sections = [model_section(np.random.default_rng(seed)) for seed in range(3)]
    assert all(section.image.shape == section.salt.shape == (HEIGHT, WIDTH) for section in sections)
    upper = np.mean([section.salt[: HEIGHT // 2].mean() for section in sections])
    lower = np.mean([section.salt[HEIGHT // 2 :].mean() for section in sections])
    assert lower > upper > 0
