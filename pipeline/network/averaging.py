"""Averages of a network's weights, and how they replace the weights during validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import keras
import numpy as np

from pipeline.config import TrainSettings
from pipeline.network.optimizers import average_variables

TILES = 512
"""Training tiles from which the batch norm statistics of averaged weights are computed; all, where there are fewer."""


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Replace the weights by their moving average inside the ``with`` block; do nothing where averaging is off."""
    averages = average_variables(model)
    raw = arrays_of(model.trainable_variables[: len(averages)])
    for weight, average in zip(model.trainable_variables, averages, strict=bool(averages)):
        # Through NumPy: JAX reuses the memory of a step's inputs for its outputs, so two variables must not share any.
        weight.assign(keras.ops.convert_to_numpy(average.value))
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, raw, strict=bool(averages)):
            weight.assign(value)


class StochasticAverage:
    """The mean of the weights at the ends of epochs (stochastic weight averaging, Izmailov et al. 2018).

    See https://arxiv.org/abs/1803.05407, algorithm 1. The learning rate follows ``train.schedule``. In the paper it is
    high, constant or cyclical, during averaging, so that the weights keep moving; ``constant`` and ``cosine_restarts``
    come close. At the end of a single cosine the weights hardly move, and their mean hardly differs from them. With a
    cyclical rate the paper averages the weights at the end of each cycle, this class those at the end of each epoch.

    Args:
        settings: ``swa_start``, the share of ``epochs`` after which averaging starts.
        arrays: the mean so far, from a checkpoint; empty before the first epoch that is averaged.

    Attributes:
        arrays: the mean of each trainable weight, float32; empty before the first epoch that is averaged.
    """

    def __init__(self, settings: TrainSettings, arrays: list[np.ndarray]) -> None:
        # The last epoch is always averaged, however late averaging starts.
        first = min(math.ceil(settings.swa_start * settings.epochs), settings.epochs - 1)
        self._first = first if settings.swa_start else settings.epochs
        self.arrays = arrays

    def add(self, model: keras.Model, epoch: int) -> None:
        """Add the weights at the end of an epoch, counted from 0, if it is one that is averaged."""
        count = epoch - self._first + 1
        if count < 1:
            return
        weights = arrays_of(model.trainable_variables)
        means = self.arrays if count > 1 else weights
        self.arrays = [mean + (weight - mean) / count for mean, weight in zip(means, weights, strict=True)]

    @contextmanager
    def in_place(self, model: keras.Model, images: Callable[[int], Iterable[np.ndarray]]) -> Iterator[None]:
        """Replace the weights by their mean inside the ``with`` block; do nothing before the first averaged epoch.

        The batch norm statistics belong to the raw weights, so they are recomputed for the mean. Afterwards all raw
        variables are restored, including the random state of dropout.

        Args:
            model: being trained.
            images: ``images(n)`` yields at least n training tiles in batches, (batch, size, size, 1) float32. They must
                be the same at each call, or a resumed training would end differently from an uninterrupted one.
        """
        metrics = {id(variable) for variable in model.metrics_variables}
        variables = [each for each in model.variables if self.arrays and id(each) not in metrics]
        raw = arrays_of(variables)
        for weight, mean in zip(model.trainable_variables, self.arrays, strict=bool(self.arrays)):
            weight.assign(mean)
        try:
            if self.arrays:
                recompute_batch_norm_statistics(model, images(TILES))
            yield
        finally:
            for variable, value in zip(variables, raw, strict=True):
                variable.assign(value)


def recompute_batch_norm_statistics(model: keras.Model, images: Iterable[np.ndarray]) -> None:
    """Set the batch norm statistics to their mean over the batches, computed by forward passes in training mode.

    Frozen batch norms are left unchanged. Without any other, ``images`` is not read.

    Args:
        model: built.
        images: batches of (batch, size, size, 1) float32.
    """
    norms = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    try:
        for count, batch in enumerate(images):
            for norm in norms:
                norm.momentum = count / (count + 1)  # the mean of all batches, without the previous value
            # Called eagerly: a compiled step would contain the momentum as a constant.
            model(batch, training=True)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def arrays_of(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """The variables' values as NumPy arrays, copied."""
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]
