"""The mean of several networks' probabilities."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pipeline.prediction import ensemble
from pipeline.prediction.ensemble import Ensemble
from pipeline.prediction.predictor import Predictor


def test_an_ensemble_rounds_once_with_any_number_of_tiles(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ensemble, "SPAN", 4)
    known: dict[str, float] = {}
    model = SimpleNamespace(set_weights=lambda weights: known.update(probability=weights[0]))

    class Constant:
        """Predicts the same probability at every pixel."""

        def __init__(self) -> None:
            self.model, self.copied = model, 0.0

        def copy_weights_from(self, network: object) -> None:
            self.copied = known["probability"]

        def __call__(
            self, images: np.ndarray, out: np.ndarray, views: object, progress: Any, depths: object
        ) -> np.ndarray:
            out[:] = np.float32(self.copied)
            progress(len(images))
            return out

    # 0.4 and 0.5 of a level: each alone rounds to 0, and so does their mean; the mean of 0.4 and 0.8 rounds to 1.
    tiles = np.zeros((10, 101, 101), np.uint8)
    progress: list[int] = []
    for probabilities, level in (((0.4, 0.5), 0), ((0.4, 0.8), 1)):
        networks = [[np.array(probability / 255)] for probability in probabilities]
        found = Ensemble(cast(Predictor, Constant()), networks)(
            tiles, np.full(tiles.shape, 9, np.uint8), ("plain",), progress.append
        )
        assert set(np.unique(found)) == {level}
    assert progress == 2 * [2, 4, 6, 8, 9, 10]
