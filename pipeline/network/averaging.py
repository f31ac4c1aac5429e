"""Averages of a network's weights, and how they take the weights' place while they are looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import keras
import numpy as np

from pipeline.config import TrainSettings
from pipeline.network.optimizers import average_variables

TILES = 512
"""Training tiles that the batch norms of an average of weights see, or the few of an epoch that has fewer."""


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """The moving average in the weights' place, for as long as the block lasts; nothing where averaging is off."""
    averages = average_variables(model)
    raw = arrays_of(model.trainable_variables[: len(averages)])
    for weight, average in zip(model.trainable_variables, averages, strict=bool(averages)):
        # By way of NumPy: JAX gives the memory of a step's inputs to its outputs, so no two variables may share any.
        weight.assign(keras.ops.convert_to_numpy(average.value))
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, raw, strict=bool(averages)):
            weight.assign(value)


class StochasticAverage:
    """The mean of the weights at the ends of epochs (stochastic weight averaging, Izmailov et al. 2018).

    See https://arxiv.org/abs/1803.05407, algorithm 1. The learning rate is whatever ``train.schedule`` says: the
    paper's is constant or cyclical and high while it averages, so that the weights wander about, which ``constant`` and
    ``cosine_restarts`` come close to; towards the end of a single cosine they hardly move, and the mean is of almost
    equal weights. With a cyclical rate the paper counts the weights at the end of each cycle, this class at that of
    each epoch.

    Args:
        settings: ``swa_from`` of the ``epochs``.
        arrays: the mean so far, from a checkpoint; empty where no epoch counts yet.

    Attributes:
        arrays: the mean of each trainable weight, float32; empty until the first epoch that counts.
    """

    def __init__(self, settings: TrainSettings, arrays: list[np.ndarray]) -> None:
        # However late it is asked for, the last epoch counts.
        first = min(math.ceil(settings.swa_from * settings.epochs), settings.epochs - 1)
        self._first = first if settings.swa_from else settings.epochs
        self.arrays = arrays

    def add(self, model: keras.Model, epoch: int) -> None:
        """Count the weights at the end of an epoch, the first is 0, if it is one of those that count."""
        count = epoch - self._first + 1
        if count < 1:
            return
        weights = arrays_of(model.trainable_variables)
        held = self.arrays if count > 1 else weights
        self.arrays = [mean + (weight - mean) / count for mean, weight in zip(held, weights, strict=True)]

    @contextmanager
    def in_place(self, model: keras.Model, images: Callable[[int], Iterable[np.ndarray]]) -> Iterator[None]:
        """The mean in the weights' place, for as long as the block lasts; nothing while no epoch counts.

        Statistics of batch norms are of the raw weights and fit no others, so they are counted anew for the mean. All
        raw variables, the random state of dropout among them, are put back afterwards.

        Args:
            model: being trained.
            images: gives at least so many training tiles in batches, (batch, size, size, 1) float32; the same ones each
                time, or a resumed run would not end as an uninterrupted one.
        """
        metrics = {id(variable) for variable in model.metrics_variables}
        variables = [each for each in model.variables if self.arrays and id(each) not in metrics]
        raw = arrays_of(variables)
        for weight, mean in zip(model.trainable_variables, self.arrays, strict=bool(self.arrays)):
            weight.assign(mean)
        try:
            if self.arrays:
                count_statistics(model, images(TILES))
            yield
        finally:
            for variable, value in zip(variables, raw, strict=True):
                variable.assign(value)


def count_statistics(model: keras.Model, images: Iterable[np.ndarray]) -> None:
    """Set the statistics of batch norms to their mean over batches that pass forward as in training.

    Args:
        model: whose batch norms are not frozen; one without any is left as it is, and no image is looked at.
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
                norm.momentum = count / (count + 1)  # an equal mean of all batches, and nothing of what was before
            # Called, not compiled: a compiled step would have the momentum of its tracing built in.
            model(batch, training=True)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def arrays_of(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """Copies of variables' values."""
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]
