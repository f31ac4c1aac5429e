"""Train one epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import keras
import numpy as np

from pipeline.network.averaging import arrays_of
from pipeline.network.device import gpus


class Batches(Protocol):
    """The batches of a started epoch, such as ``training.batches.Batches``."""

    def __len__(self) -> int:
        """Steps of the epoch."""

    def ahead(self) -> Iterator[tuple[np.ndarray, ...]]:
        """The batches in order, prepared shortly before they are used."""


def train_one_epoch(
    model: keras.Model, batches: Batches, epoch: int, on_step: Callable[[int], object] = lambda step: None
) -> float:
    """Train on every batch once, in order.

    Args:
        model: compiled.
        batches: of a started epoch.
        epoch: counted from 0.
        on_step: called with the number of steps whose batches the backend has taken so far; it may be one or two ahead.

    Returns:
        The mean loss; NaN where a weight is not finite, as after a last step whose own loss still was.
    """
    loss = _train(model, batches, epoch, on_step)
    return loss if all(np.isfinite(array).all() for array in arrays_of(model.weights)) else math.nan


def _train(model: keras.Model, batches: Batches, epoch: int, on_step: Callable[[int], object]) -> float:
    if keras.backend.backend() == "jax" or gpus():
        # ``fit`` lets the device work ahead of Python; ``train_on_batch``, or a callback for steps, would wait for the
        # loss at each step. ``fit`` reads a plain generator in order, which Keras' own workers do not.
        options = {"initial_epoch": epoch, "epochs": epoch + 1, "steps_per_epoch": len(batches)}
        result = model.fit(_report_steps(batches, on_step), shuffle=False, verbose=0, **options)
        on_step(len(batches))
        return float(result.history["loss"][-1])
    # On a CPU the threads of tf.data, which ``fit`` puts between the batches and the step, compete with the network:
    # on two cores, some epochs took as long as on one core. This loop has no such threads.
    losses = []
    for step, batch in enumerate(batches.ahead(), start=1):
        losses.append(model.train_on_batch(*batch, return_dict=True)["loss"])
        on_step(step)
    return float(np.mean(losses))


def _report_steps(batches: Batches, on_step: Callable[[int], object]) -> Iterator[tuple[np.ndarray, ...]]:
    """The batches of an epoch. When the next one is requested, the device has the step before it."""
    for step, batch in enumerate(batches.ahead()):
        if step:
            on_step(step)
        yield batch
