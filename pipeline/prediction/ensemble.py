"""Salt probabilities by several networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.prediction import CHUNK
from pipeline.prediction.predictor import DEFAULT_VIEWS, Predictor

SPAN = 8 * CHUNK
"""Tiles that each network predicts before the next one's weights are set. More take more memory; fewer mean that the
weights are set more often."""


class Ensemble:
    """Several networks of the same layers as one predictor: the mean of their probabilities, rounded once.

    Args:
        predictor: an exact one; it predicts with one network's weights after another's.
        networks: the weights of each network, in the order of ``predictor.model.weights``.
    """

    def __init__(self, predictor: Predictor, networks: Sequence[Sequence[np.ndarray]]) -> None:
        self._predictor, self._networks = predictor, networks

    def __call__(
        self,
        images: np.ndarray,
        out: np.ndarray,
        views: Sequence[str] = DEFAULT_VIEWS,
        progress: Callable[[int], None] | None = None,
        depths: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict the salt probabilities of tiles into ``out``, (n, 101, 101) uint8; see ``Predictor.__call__``."""
        for start in range(0, len(images), SPAN):
            part = images[start : start + SPAN]
            part_depths = None if depths is None else depths[start : start + SPAN]
            total, probabilities = np.zeros(part.shape, np.float32), np.empty(part.shape, np.float32)
            for number, weights in enumerate(self._networks):

                def report(done: int, start: int = start, part: int = len(part), number: int = number) -> None:
                    if progress is not None:
                        progress(start + (number * part + done) // len(self._networks))

                self._predictor.model.set_weights(weights)
                self._predictor.copy_weights_from(self._predictor.model)
                total += self._predictor(part, probabilities, views, report, part_depths)
            out[start : start + SPAN] = np.rint(total * (255 / len(self._networks))).astype(np.uint8)
        return out
