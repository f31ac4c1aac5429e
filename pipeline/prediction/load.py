"""Load trained weights from files, into a network or a predictor."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras

from pipeline.config import Settings, UserError
from pipeline.data.input_transform import InputTransform
from pipeline.prediction.build import make_network, make_predictor
from pipeline.prediction.ensemble import Ensemble
from pipeline.prediction.predictor import Predictor
from pipeline.system import disk


def load_weights(model: keras.Model, path: Path, again: str = "train the fold again") -> None:
    """Load all weights of a network from a ``.weights.h5`` file.

    Args:
        model: the network.
        path: the file.
        again: how to make the file again, for the error message.

    Raises:
        UserError: the file is missing, damaged, or of another network.
        OSError: the disk failed.
    """
    try:
        with warnings.catch_warnings():
            # Where a file lacks a layer, Keras only warns, and the layer keeps its initial weights.
            warnings.simplefilter("error")
            model.load_weights(path)
    except (OSError, ValueError, KeyError, RuntimeError, Warning) as error:
        if disk.failure(error):
            raise  # the file may be intact
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: cannot be loaded into this network ({reason}); {again}") from None


def load_network(settings: Settings, path: Path) -> tuple[keras.Model, InputTransform]:
    """Load the trained network of an experiment, and the transform between it and a tile.

    Args:
        settings: of the experiment.
        path: its ``.weights.h5`` file.

    Raises:
        UserError: the weights cannot be loaded.
    """
    model, transform = make_network(settings)
    load_weights(model, path)
    return model, transform


def load_predictor(settings: Settings, *paths: Path) -> Predictor | Ensemble:
    """Load trained weights into the predictor of an experiment.

    The next call with the same architecture reuses the predictor and overwrites its weights.

    Args:
        settings: of the experiment.
        paths: ``.weights.h5`` files. The probabilities of several networks are averaged.

    Raises:
        UserError: weights cannot be loaded, or a view of ``predict.tta`` does not fit the network's input.
    """
    if len(paths) > 1:
        exact = make_predictor(settings, exact=True)
        networks = []
        for path in paths:
            load_weights(exact.model, path)
            networks.append(exact.model.get_weights())
        return Ensemble(exact, networks)
    predictor = make_predictor(settings)
    load_weights(predictor.model, paths[0])
    predictor.copy_weights_from(predictor.model)
    return predictor
