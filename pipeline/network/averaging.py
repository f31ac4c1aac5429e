"""Averages of a network's weights, and how they replace the weights during validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import keras
import numpy as np

from pipeline.config import TrainSettings
from pipeline.config.phases import epochs_before
from pipeline.network.optimizers import average_variables

TILES = 512
"""Training tiles from which the batch norm statistics of averaged weights are computed; all, where there are fewer."""

Images = Callable[[int], Iterable[np.ndarray]]
"""``images(n)`` yields at least n training tiles in batches, (batch, size, size, channels) float32."""


@contextmanager
def averaged(model: keras.Model, images: Images | None = None) -> Iterator[None]:
    """Replace the weights by their moving average inside the ``with`` block; do nothing where averaging is off.

    Args:
        model: being trained.
        images: where given, the batch norm statistics are recomputed from these tiles. They must be the same at each
            call, or a resumed training would end differently from an uninterrupted one.
    """
    with _in_place(model, arrays_of(average_variables(model)), images):
        yield


@contextmanager
def _in_place(model: keras.Model, averages: list[np.ndarray], images: Images | None) -> Iterator[None]:
    """Replace the trainable weights by their averages, if there are any; afterwards restore all that was changed."""
    changed = model.trainable_variables if averages else []
    if averages and images is not None:  # forward passes also change statistics and the random state of dropout
        metrics = {id(variable) for variable in model.metrics_variables}
        changed = [each for each in model.variables if id(each) not in metrics]
    raw = arrays_of(changed)
    # Through NumPy: JAX reuses the memory of a step's inputs for its outputs, so two variables must not share any.
    for weight, average in zip(model.trainable_variables, averages, strict=bool(averages)):
        weight.assign(average)
    try:
        if averages and images is not None:
            recompute_batch_norm_statistics(model, images(TILES))
        yield
    finally:
        for variable, value in zip(changed, raw, strict=True):
            variable.assign(value)


def average_batch_norm_statistics(model: keras.Model, momentum: float) -> None:
    """Give the batch norm statistics the momentum of the weights' moving average. Call it before the first step.

    At step t the weights' average is the sum of (1 - m) m**k times the weights at step t - k. With this momentum the
    statistics are the same sum of the batches' statistics, each of which was computed with the weights of its step.

    Args:
        model: whose trainable batch norms are changed; their statistics are used outside training only.
        momentum: of the moving average.
    """
    for norm in _trainable_norms(model):
        norm.momentum = momentum


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
        first = min(epochs_before(settings.swa_start, settings.epochs), settings.epochs - 1)
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
    def in_place(self, model: keras.Model, images: Images) -> Iterator[None]:
        """Replace the weights by their mean inside the ``with`` block; do nothing before the first averaged epoch.

        The batch norm statistics belong to the raw weights, so they are recomputed for the mean. Afterwards all raw
        variables are restored, including the random state of dropout.

        Args:
            model: being trained.
            images: training tiles. They must be the same at each call, as for ``averaged``.
        """
        with _in_place(model, self.arrays, images):
            yield


def recompute_batch_norm_statistics(model: keras.Model, images: Iterable[np.ndarray]) -> None:
    """Set the batch norm statistics to their mean over the batches, computed by forward passes in training mode.

    Frozen batch norms are left unchanged. Without any other, ``images`` is not read.

    Args:
        model: built.
        images: batches of (batch, size, size, channels) float32.
    """
    norms = _trainable_norms(model)
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


def _trainable_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


def arrays_of(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """The variables' values as NumPy arrays, copied."""
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]
