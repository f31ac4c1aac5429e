"""A network whose output is known at every pixel."""

from __future__ import annotations

import keras
import numpy as np

from pipeline.config import InputSettings

SLOPE, MIDDLE = 0.02, 128.0
PAD, RESIZE = InputSettings(size=112), InputSettings(fit="resize", size=128)


def pixelwise(pooled: bool = False) -> keras.Model:
    """A network whose logit depends on the pixel's own grey value, or on the largest of its 4 x 4 neighbourhood."""
    image = keras.Input((None, None, 1))
    x = keras.layers.MaxPooling2D(4)(image) if pooled else image
    x = keras.layers.UpSampling2D(4)(x) if pooled else x
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(x))
    model.layers[-1].set_weights([np.full((1, 1, 1, 1), SLOPE), np.array([-SLOPE * MIDDLE])])
    return model


def expected(grey: np.ndarray) -> np.ndarray:
    """The probabilities of ``pixelwise`` for grey values, as 0..255."""
    return np.rint(255 / (1 + np.exp(-SLOPE * (grey - MIDDLE)))).astype(int)
