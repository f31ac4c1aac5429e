"""From tiles to salt probabilities: batches of bounded size, test-time augmentation.

Probabilities are kept as uint8, where v stands for v / 255: a step of 0.004 is finer than any threshold that could
be chosen, and 18,000 tiles then take 184 MB a fold instead of 734.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from pipeline.config import PredictSettings
from pipeline.data.input_transform import InputTransform
from pipeline.network.device import jit
from pipeline.network.folding import FoldedModel
from pipeline.prediction import CHUNK
from pipeline.prediction.views import make_views

DEFAULT_VIEWS = PredictSettings().tta

SPAN = 8 * CHUNK
"""Tiles that one network after another predicts: few enough for memory, and many beside the change of weights."""


class Predictor:
    """A network made ready to predict tiles: batch norms folded, everything from grey values to answer in one graph.

    Traced once, it serves every network of the same layers: ``take`` the next one's weights.

    Args:
        model: maps (batch, size, size, 1) float32 to logits (batch, output, output, 1).
        transform: fit between tile and network.
        batch: images per step.
        exact: answer in float32 in 0..1, not rounded to uint8.
    """

    def __init__(self, model: keras.Model, transform: InputTransform, batch: int = 64, exact: bool = False) -> None:
        self.model = model
        """The network that the predictor was made of, for weights to be read into."""
        self._transform, self._batch, self._exact = transform, batch, exact
        self._folded = FoldedModel(model)
        self._graphs: dict[tuple[str, ...], keras.Model] = {}
        self.take(model)

    def take(self, model: keras.Model) -> None:
        """Take over a network's weights."""
        self._folded.copy_weights_from(model)

    def check(self, views: Sequence[str]) -> None:
        """Refuse views that are impossible with this network's input.

        Raises:
            UserError: the view is named.
        """
        make_views(views, self._transform)

    def __call__(
        self,
        images: np.ndarray,
        out: np.ndarray,
        views: Sequence[str] = DEFAULT_VIEWS,
        progress: Callable[[int], None] | None = None,
        depths: np.ndarray | None = None,
    ) -> np.ndarray:
        """Salt probabilities of tiles.

        Args:
            images: (n, 101, 101) uint8 grey values, may be memory-mapped.
            out: (n, 101, 101) uint8 array to fill, may be memory-mapped; value v stands for v / 255; float32
                for an exact predictor.
            views: names of ``pipeline.prediction.views.make_views``, whose answers are averaged.
            progress: called with the number of tiles done after each batch.
            depths: (n,) float32 in feet, for a network that sees them.

        Returns:
            ``out``.
        """
        for start in range(0, len(images), CHUNK):
            chunk = self._transform.to_network(np.asarray(images[start : start + CHUNK]))
            inputs = [chunk] if depths is None else [chunk, depths[start : start + CHUNK]]
            for first, found in self._answers(inputs, tuple(views)):
                at = start + first
                back = self._transform.to_tile if self._exact else self._transform.from_network
                out[at : at + len(found)] = back(found)
                if progress is not None:
                    progress(at + len(found))
        return out

    def _answers(self, inputs: list[np.ndarray], views: tuple[str, ...]):
        """Answers of the network, batch by batch: (number of the first tile, uint8 or float32 answers)."""
        graph = self._graph(views)
        # Each view of a tile is one more image of the batch, so that a batch takes the same memory with any number.
        tiles = len(inputs[0])
        batch = min(max(self._batch // len(views), 1), tiles)
        for first in range(0, tiles, batch):
            parts = [each[first : first + batch] for each in inputs]
            count = len(parts[0])
            # XLA would compile the network once more for a smaller last batch; there it is filled up instead.
            if jit() and count < batch:
                parts = [np.concatenate([part, np.repeat(part[-1:], batch - count, axis=0)]) for part in parts]
            yield first, ops.convert_to_numpy(graph.predict_on_batch(parts))[:count]

    def _graph(self, views: tuple[str, ...]) -> keras.Model:
        """(batch, side, side) uint8 grey values -> (batch, 101, 101) uint8, or float32 where exact or to be resized.

        A second input, (batch,) float32, has the depths for a network that sees them.

        Made when it is first needed.
        """
        if views not in self._graphs:
            transform, ways = self._transform, make_views(views, self._transform)
            tiles = keras.Input((transform.inner, transform.inner), dtype="uint8", name="tiles")
            x = ops.expand_dims(ops.cast(tiles, "float32"), -1)
            x = _joined([way.enter(x) for way in ways])  # (views x batch, size, size, 1)
            inputs = [tiles]
            if self.model.input_shape[-1] == 2:
                inputs.append(keras.Input((), name="depths"))
                depths = ops.reshape(_joined([inputs[1]] * len(ways)), (-1, 1, 1, 1))
                x = ops.concatenate([x, ops.zeros_like(x) + depths], axis=-1)
            x = self._folded.model(x)  # (views x batch, output, output, 1)
            parts = ops.split(x, len(ways), axis=0) if len(ways) > 1 else [x]
            answers = [way.leave(part) for way, part in zip(ways, parts, strict=True)]
            x = sum(answers[1:], answers[0]) / len(ways)
            if transform.fit == "pad" and not self._exact:
                x = ops.cast(ops.round(x * 255), "uint8")
            graph = keras.Model(inputs, x, name="predictor")
            graph.compile(jit_compile=jit())
            self._graphs[views] = graph
        return self._graphs[views]


def _joined(images: list[keras.KerasTensor]) -> keras.KerasTensor:
    return ops.concatenate(images, axis=0) if len(images) > 1 else images[0]


class Ensemble:
    """Networks of the same layers as one predictor: the mean of their probabilities, rounded once.

    Args:
        predictor: an exact one, which takes over one network's weights after another's.
        networks: weights of each network, in the order of the predictor's ``model.weights``.
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
        """Salt probabilities of tiles, as ``Predictor`` gives them: (n, 101, 101) uint8."""
        for start in range(0, len(images), SPAN):
            part = images[start : start + SPAN]
            seen = None if depths is None else depths[start : start + SPAN]
            total, found = np.zeros(part.shape, np.float32), np.empty(part.shape, np.float32)
            for turn, weights in enumerate(self._networks):

                def told(done: int, before: int = start, part: int = len(part), turn: int = turn) -> None:
                    if progress is not None:
                        progress(before + (turn * part + done) // len(self._networks))

                self._predictor.model.set_weights(weights)
                self._predictor.take(self._predictor.model)
                total += self._predictor(part, found, views, told, seen)
            out[start : start + SPAN] = np.rint(total * (255 / len(self._networks))).astype(np.uint8)
        return out


def probabilities(
    model: keras.Model,
    transform: InputTransform,
    images: np.ndarray,
    out: np.ndarray,
    views: Sequence[str] = DEFAULT_VIEWS,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Salt probabilities of tiles by one network, once; see ``Predictor``."""
    return Predictor(model, transform, batch)(images, out, views, progress)
