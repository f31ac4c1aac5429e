"""Learning rates.

A learning rate is a function of the step (the cosines) or of the scores so far (plateau), so that a resumed training
continues with the right rate without any saved state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import keras
from keras import ops

from pipeline.config import TrainSettings
from pipeline.config.consistency import first_cycle_epochs


def learning_rate(settings: TrainSettings, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate as a function of the step; a number for ``constant`` and ``plateau``.

    ``cosine``: linear warm-up, then half a cosine (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983). A
    warm-up as long as the training, as of one epoch in a trial of one epoch, is shortened to a tenth of its steps.

    ``one_cycle``: linear warm-up to a large rate, then half a cosine down to far below the initial rate (after Smith
    2018, https://arxiv.org/abs/1708.07120). The paper goes down along two straight lines, moves the momentum the
    opposite way, and finds the peak by a range test; here the momentum is constant and the peak is a setting.

    ``cosine_restarts``: half a cosine in each of ``cycles`` (SGDR, Loshchilov and Hutter 2017); see ``CosineRestarts``.

    Args:
        settings: the schedule and its parameters.
        steps: steps of one epoch.
    """
    total = settings.epochs * steps
    if settings.schedule == "cosine":
        warmup = int(settings.warmup_epochs * steps)
        return _cosine(settings, total, warmup if warmup < total else total // 10, 100)
    if settings.schedule == "one_cycle":
        return _cosine(settings, total, min(round(settings.pct_start * total), total - 1), settings.div_factor)
    if settings.schedule == "cosine_restarts":
        edges = [steps * edge for edge in cycle_edges(settings)]
        return CosineRestarts(settings.learning_rate, settings.min_lr_ratio, edges, int(settings.warmup_epochs * steps))
    return settings.learning_rate


def _cosine(
    settings: TrainSettings, total: int, warmup: int, div_factor: float
) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up from the peak divided by ``div_factor``, then half a cosine."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=settings.learning_rate / div_factor if warmup else settings.learning_rate,
        decay_steps=total - warmup,
        alpha=settings.min_lr_ratio,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


class CosineRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """Half a cosine down from the peak in each cycle, then a restart at the peak (SGDR, section 3).

    All cycles have the same height. In the paper each cycle is T_mult times as long as the one before.

    Args:
        peak: rate at the start of a cycle.
        min_lr_ratio: rate at the end of a cycle, as a share of the peak.
        edges: first step of each cycle, and the step after the last cycle.
        warmup: steps of linear warm-up from a hundredth of the peak. They are part of the first cycle, whose cosine is
            shorter by as many.
    """

    def __init__(self, peak: float, min_lr_ratio: float, edges: Sequence[int], warmup: int = 0) -> None:
        super().__init__()
        self._peak, self._min_lr_ratio, self._warmup = peak, min_lr_ratio, min(warmup, edges[1] - 1)
        self._starts = [self._warmup, *edges[1:-1]]
        self._lengths = [end - start for start, end in pairwise([*self._starts, edges[-1]])]

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        starts = ops.convert_to_tensor(self._starts, "float32")
        cycle = ops.sum(ops.cast(step >= starts[1:], "int32"))
        progress = (step - starts[cycle]) / ops.convert_to_tensor(self._lengths, "float32")[cycle]
        cosine = (1 + ops.cos(math.pi * ops.clip(progress, 0.0, 1.0))) / 2
        warmup = 0.01 + 0.99 * step / max(self._warmup, 1)
        return self._peak * ops.where(
            step < self._warmup, warmup, self._min_lr_ratio + (1 - self._min_lr_ratio) * cosine
        )


def cycle_edges(settings: TrainSettings) -> list[int]:
    """The first epoch of each cycle, counted from 0, and the number of epochs at the end."""
    epochs, cycles = settings.epochs, settings.cycles
    if not settings.first_cycle or cycles == 1:
        return [cycle * epochs // cycles for cycle in range(cycles + 1)]
    first = first_cycle_epochs(settings)
    return [0, *(first + cycle * (epochs - first) // (cycles - 1) for cycle in range(cycles))]


def plateau_rate(settings: TrainSettings, scores: Sequence[float]) -> float:
    """Learning rate after epochs with these validation scores: reduced whenever the score stops rising.

    Args:
        settings: ``plateau_patience`` epochs without a better score multiply the rate by ``plateau_factor``, down to
            ``min_lr_ratio`` times ``learning_rate``.
        scores: the score of each epoch so far.
    """
    rate, best, waited = settings.learning_rate, float("-inf"), 0
    for score in scores:
        if score > best:
            best, waited = score, 0
        else:
            waited += 1
        if waited >= settings.plateau_patience:
            rate, waited = max(rate * settings.plateau_factor, settings.learning_rate * settings.min_lr_ratio), 0
    return rate
