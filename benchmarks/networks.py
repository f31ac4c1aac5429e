"""Networks of experiments and batches for them."""

from __future__ import annotations

import keras
import msgspec
import numpy as np

from pipeline.config import LossName, Settings
from pipeline.network.layers import Gate
from pipeline.network.optimizers import make_optimizer
from pipeline.prediction.build import make_network
from pipeline.training.compile import compile_network

TINY = ["network.width=4", "network.levels=2", "network.blocks=1", "train.batch_size=4"]
"""Settings for ``--quick``."""


def compiled_network(
    settings: Settings, precision: str = "auto", loss: LossName | None = None
) -> tuple[keras.Model, int, int]:
    """The network of an experiment, compiled as for training, and the sides of its input and output."""
    train = msgspec.structs.replace(settings.train, precision=precision)
    model, transform = make_network(msgspec.structs.replace(settings, train=train))
    compile_network(model, make_optimizer(train, 100), loss or train.loss, settings.network)
    return model, transform.size, transform.output


def plain(model: keras.Model) -> keras.Model:
    """The same network and weights, with Keras' own batch norm."""
    own = {"BatchNormalization": keras.layers.BatchNormalization, "Gate": Gate}
    copy = keras.Model.from_config(model.get_config(), custom_objects=own)
    copy.set_weights(model.get_weights())
    return copy


def random_batch(count: int, size: int, answer: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, size, size, 1) in 0..255 and masks (count, answer, answer, 1) of 0 and 1, float32."""
    draw = np.random.default_rng(0)
    images = draw.uniform(0, 255, (count, size, size, 1)).astype(np.float32)
    return images, (draw.random((count, answer, answer, 1)) > 0.7).astype(np.float32)
