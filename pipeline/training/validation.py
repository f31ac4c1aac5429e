"""Scoring of a network on the validation tiles, after each epoch."""

from __future__ import annotations

import keras
import numpy as np

from pipeline.prediction.predictor import Predictor
from pipeline.scoring import metric, thresholding
from pipeline.training.fold import LabelledTiles


class Validation:
    """Scores networks of one architecture on the same tiles.

    Args:
        predictor: for networks of this architecture.
        tiles: validation tiles, in memory.

    Attributes:
        predictor: the same; between two scores its weights may be overwritten.
    """

    def __init__(self, predictor: Predictor, tiles: LabelledTiles) -> None:
        self.predictor, self._tiles = predictor, tiles
        self._probabilities = np.empty(tiles.images.shape, np.uint8)

    def score(self, model: keras.Model) -> float:
        """The mean competition score of a network, at the threshold 0.5 and without test-time augmentation."""
        self.predictor.copy_weights_from(model)
        self.predictor(self._tiles.images, self._probabilities, ("plain",), depths=self._tiles.depths)
        return metric.score(thresholding.apply(self._probabilities, 0.5, 0), self._tiles.masks)
