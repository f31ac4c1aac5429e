"""Salt probabilities by one network: batches of bounded size, test-time augmentation.

Probabilities are stored as uint8, where v stands for v / 255. A step of 0.004 is finer than any threshold that could be
chosen, and 18,000 tiles take 184 MB per fold instead of 734.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


class Predictor:
    """A network prepared for prediction: batch norms folded, one graph from grey values to probabilities.

    The graph is traced once, and serves every network of the same layers: ``copy_weights_from`` the next network.

    Args:
        model: maps (batch, size, size, 1) float32 to logits (batch, output, output, 1).
        transform: between tile and network.
        batch: images per step, each view counting as one.
        exact: return float32 probabilities in 0..1, not rounded to uint8.

    Attributes:
        model: the network that the predictor was created from. Load weights into it, then ``copy_weights_from`` it.
    """

    def __init__(self, model: keras.Model, transform: InputTransform, batch: int = 64, exact: bool = False) -> None:
        self.model = model
        self._transform, self._batch, self._exact = transform, batch, exact
        self._folded = FoldedModel(model)
        self._graphs: dict[tuple[str, ...], keras.Model] = {}
        self.copy_weights_from(model)

    def copy_weights_from(self, model: keras.Model) -> None:
        """Copy the weights of a network with the same layers."""
        self._folded.copy_weights_from(model)

    def check_views(self, views: Sequence[str]) -> None:
        """Check that the views fit the network's input.

        Raises:
            UserError: a view does not fit.
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
        """Predict the salt probabilities of tiles.

        Args:
            images: (n, 101, 101) uint8 grey values, may be memory-mapped.
            out: (n, 101, 101) uint8 array to fill, may be memory-mapped; value v stands for v / 255. float32 for an
                exact predictor.
            views: names of views, see ``make_views``; their probabilities are averaged.
            progress: called with the number of tiles done after each batch.
            depths: (n,) float32 in feet, for a network with a depth channel.

        Returns:
            ``out``.
        """
        for start in range(0, len(images), CHUNK):
            chunk = self._transform.to_network(np.asarray(images[start : start + CHUNK]))
            inputs = [chunk] if depths is None else [chunk, depths[start : start + CHUNK]]
            for first, probabilities in self._predict_batches(inputs, tuple(views)):
                at = start + first
                resize = self._transform.to_tile if self._exact else self._transform.from_network
                out[at : at + len(probabilities)] = resize(probabilities)
                if progress is not None:
                    progress(at + len(probabilities))
        return out

    def _predict_batches(self, inputs: list[np.ndarray], views: tuple[str, ...]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of a batch's first tile, and the batch's probabilities, uint8 or float32."""
        graph = self._graph(views)
        # Each view of a tile is one image of the batch, so a batch takes the same memory with any number of views.
        tiles = len(inputs[0])
        batch = min(max(self._batch // len(views), 1), tiles)
        for first in range(0, tiles, batch):
            parts = [each[first : first + batch] for each in inputs]
            count = len(parts[0])
            # XLA would compile the network again for a smaller last batch; pad the batch instead.
            if jit() and count < batch:
                parts = [np.concatenate([part, np.repeat(part[-1:], batch - count, axis=0)]) for part in parts]
            yield first, ops.convert_to_numpy(graph.predict_on_batch(parts))[:count]

    def _graph(self, views: tuple[str, ...]) -> keras.Model:
        """The graph for these views, created at the first call.

        It maps (batch, inner, inner) uint8 grey values to (batch, inner, inner) probabilities: uint8, or float32 for an
        exact predictor and where they are resized to the tile afterwards. A network with a depth channel has a second
        input, (batch,) float32.
        """
        if views not in self._graphs:
            self._graphs[views] = self._make_graph(views)
        return self._graphs[views]

    def _make_graph(self, names: tuple[str, ...]) -> keras.Model:
        transform, views = self._transform, make_views(names, self._transform)
        tiles = keras.Input((transform.inner, transform.inner), dtype="uint8", name="tiles")
        x = ops.expand_dims(ops.cast(tiles, "float32"), -1)
        x = _concatenate([view.to_input(x) for view in views])  # (views x batch, size, size, 1)
        inputs = [tiles]
        if self.model.input_shape[-1] == 2:
            inputs.append(keras.Input((), name="depths"))
            depths = ops.reshape(_concatenate([inputs[1]] * len(views)), (-1, 1, 1, 1))
            x = ops.concatenate([x, ops.zeros_like(x) + depths], axis=-1)
        x = self._folded.model(x)  # (views x batch, output, output, 1)
        parts = ops.split(x, len(views), axis=0) if len(views) > 1 else [x]
        probabilities = [view.to_tile(part) for view, part in zip(views, parts, strict=True)]
        x = sum(probabilities[1:], probabilities[0]) / len(views)
        if transform.fit == "pad" and not self._exact:
            x = ops.cast(ops.round(x * 255), "uint8")
        graph = keras.Model(inputs, x, name="predictor")
        graph.compile(jit_compile=jit())
        return graph


def _concatenate(images: list[keras.KerasTensor]) -> keras.KerasTensor:
    return ops.concatenate(images, axis=0) if len(images) > 1 else images[0]


def probabilities(
    model: keras.Model,
    transform: InputTransform,
    images: np.ndarray,
    out: np.ndarray,
    views: Sequence[str] = DEFAULT_VIEWS,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Predict the salt probabilities of tiles by a network that is used once; see ``Predictor``."""
    return Predictor(model, transform, batch)(images, out, views, progress)
