"""Create the network and the predictor of an experiment."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Hashable

import keras

from pipeline.config import Settings
from pipeline.config.geometry import output_size
from pipeline.data.input_transform import InputTransform
from pipeline.network.device import precision
from pipeline.network.encoders.applications import without_pretrained_weights
from pipeline.network.unet import build_unet
from pipeline.prediction.predictor import Predictor


def make_network(settings: Settings, seed: int = 0, pretrained: bool = False) -> tuple[keras.Model, InputTransform]:
    """Create the network of an experiment with initial weights, and the transform between it and a tile.

    Sets Keras' global dtype policy to ``train.precision``.

    Args:
        settings: of the experiment; the sections ``input`` and ``network`` and ``train.precision`` are read.
        seed: of the weights.
        pretrained: initialize the encoder from ``network.weights``. Leave it off where trained weights are loaded next.
    """
    keras.config.set_dtype_policy(precision(settings.train.precision))
    transform = InputTransform(settings.input, output_size(settings.network, settings.input.size))
    network = settings.network if pretrained else without_pretrained_weights(settings.network)
    return build_unet(network, settings.input.size, settings.input.channels, seed), transform


class PredictorCache:
    """Keeps the last predictors that were created, for networks of the same architecture.

    Tracing a predictor takes seconds. With the cache, a process traces it once for all folds, and copies the weights of
    one fold after another into it.

    Args:
        size: number of predictors; the one that was not used for the longest time is dropped first.
    """

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._predictors: OrderedDict[Hashable, Predictor] = OrderedDict()

    def get(self, settings: Settings, exact: bool = False) -> Predictor:
        """The predictor for these settings, with undefined weights. It is created where the cache does not hold it.

        Python's random state is unchanged: layers without a seed draw one from it when they are created, and what
        follows must not depend on whether the cache held the predictor.

        Args:
            settings: of the experiment.
            exact: see ``Predictor``.
        """
        key = (settings.input, settings.network, settings.train.precision, settings.predict.batch_size, exact)
        if key not in self._predictors:
            state = random.getstate()
            try:
                predictor = Predictor(*make_network(settings), settings.predict.batch_size, exact)
            finally:
                random.setstate(state)
            if len(self._predictors) == self._size:
                self._predictors.popitem(last=False)
            self._predictors[key] = predictor
        self._predictors.move_to_end(key)
        return self._predictors[key]


_CACHE = PredictorCache()
"""The predictors of this process."""


def make_predictor(settings: Settings, exact: bool = False) -> Predictor:
    """The predictor of this process for the networks of an experiment, with undefined weights.

    Each call with the same architecture returns the same object; see ``PredictorCache``.

    Raises:
        UserError: a view of ``predict.tta`` does not fit the network's input.
    """
    predictor = _CACHE.get(settings, exact)
    predictor.check_views(settings.predict.tta)
    return predictor
