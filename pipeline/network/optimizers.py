"""Optimizers and learning rates.

A learning rate is a function of the step (the cosines) or of the history so far (plateau), so that a resumed run finds
its place without any state of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import keras
from keras import ops

from pipeline.config import TrainSettings
from pipeline.network.norm import tensorflow


class KeepsRawWeights:
    """Leaves the weights as they are when ``fit`` ends.

    Keras' optimizers put the moving average in the weights' place at the end of every ``fit``; here one ``fit`` is one
    epoch, and the average is only looked at between epochs (see ``averaged``).
    """

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        del var_list


class FewOperations(keras.optimizers.Adam):
    """Adam's step in as few operations as TensorFlow allows; elsewhere Keras' own, which a compiler fuses.

    For each weight Keras asks TensorFlow for some thirty operations a step, each a pass over memory or a number that is
    the same for all weights; a step of ``unet`` on two cores took 1.14 times as long. TensorFlow has one operation for
    all of Adam, and one for ``x -= rate * y``, which decay and the moving average are. The numbers are Keras' to
    rounding, and so are the variables.
    """

    def _backend_update_step(
        self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable], learning_rate: Any
    ) -> None:
        if not self._few():
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        raw = tensorflow().raw_ops
        beta_1, beta_2 = (ops.convert_to_tensor(beta, "float32") for beta in (self.beta_1, self.beta_2))
        step = ops.cast(self.iterations + 1, "float32")
        of_all = {
            "beta1_power": ops.power(beta_1, step),
            "beta2_power": ops.power(beta_2, step),
            "lr": ops.cast(learning_rate, "float32"),
            "beta1": beta_1,
            "beta2": beta_2,
            "epsilon": ops.convert_to_tensor(self.epsilon, "float32"),
        }
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            index = self._get_variable_index(variable)
            raw.ResourceApplyAdam(
                var=variable.value.handle,
                m=self._momentums[index].value.handle,
                v=self._velocities[index].value.handle,
                grad=ops.cast(gradient, "float32"),
                **of_all,
            )

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        if not self._few():
            super()._apply_weight_decay(variables)
            return
        if self.weight_decay is None:
            return
        share = ops.cast(self.learning_rate, "float32") * self.weight_decay
        for variable in variables:
            if self._use_weight_decay(variable):
                _take_away(variable, share, variable.value)

    def _update_model_variables_moving_average(self, trainable_variables: Sequence[keras.Variable]) -> None:
        if not self._few():
            super()._update_model_variables_moving_average(trainable_variables)
            return
        # The first step's weights are taken whole: an average that began at zero would need long to forget it.
        momentum = self.ema_momentum * ops.cast(ops.not_equal(self.iterations, 0), "float32")
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            _take_away(average, 1 - momentum, average.value - variable.value)

    def _few(self) -> bool:
        return keras.backend.backend() == "tensorflow"


def _take_away(variable: keras.Variable, rate: Any, amount: Any) -> None:
    """``variable -= rate * amount`` as one operation of TensorFlow's."""
    tensorflow().raw_ops.ResourceApplyGradientDescent(var=variable.value.handle, alpha=rate, delta=amount)


class Adam(KeepsRawWeights, FewOperations):
    """Adam (Kingma and Ba 2015)."""


class AdamW(KeepsRawWeights, FewOperations, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""


class SGD(KeepsRawWeights, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum."""


def make_optimizer(settings: TrainSettings, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a fold.

    Args:
        settings: optimizer, learning rate, schedule, weight decay, momentum of the moving average.
        steps: steps of one epoch.

    Returns:
        A Keras optimizer. Its learning rate follows the step by itself (see ``learning_rate``), but for a schedule of
        ``constant`` or ``plateau``: then set ``learning_rate`` between epochs.
    """
    rate = learning_rate(settings, steps)
    average = {"use_ema": settings.ema > 0, "ema_momentum": settings.ema or 0.99}
    if settings.optimizer == "sgd":
        return SGD(rate, momentum=settings.momentum, weight_decay=settings.weight_decay or None, **average)
    if settings.optimizer == "adamw":
        optimizer = AdamW(rate, weight_decay=settings.weight_decay, **average)
        # Decay pulls weights towards 0; for a norm's scale and for biases that is no regularisation, only harm.
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        return optimizer
    return Adam(rate, weight_decay=settings.weight_decay or None, **average)


def learning_rate(settings: TrainSettings, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate as a function of the step; a plain number for the schedules that are none.

    ``cosine``: linear warm-up, then half a cosine (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983).

    ``one_cycle``: up to a large rate and down again, once (Smith 2018, https://arxiv.org/abs/1708.07120). Of the paper
    are the linear way up from a ``div``-th of the peak, and the end far below where it began. The way down is half a
    cosine, where the paper goes down in a straight line and then in a second, steeper one. Momentum does not go the
    other way meanwhile, as the paper's does, and the peak is a setting, not found by a range test.

    ``cosine_restarts``: a cosine for each of ``cycles`` (SGDR, Loshchilov and Hutter 2017); see ``CosineRestarts``.

    Args:
        settings: schedule and what belongs to it.
        steps: steps of one epoch.
    """
    total = settings.epochs * steps
    if settings.schedule == "cosine":
        return _cosine(settings, total, min(int(settings.warmup * steps), total - 1), 100)
    if settings.schedule == "one_cycle":
        return _cosine(settings, total, min(round(settings.peak_at * total), total - 1), settings.div)
    if settings.schedule == "cosine_restarts":
        edges = [steps * edge for edge in cycle_edges(settings)]
        return CosineRestarts(settings.learning_rate, settings.floor, edges, int(settings.warmup * steps))
    return settings.learning_rate


def _cosine(settings: TrainSettings, total: int, warmup: int, div: float) -> keras.optimizers.schedules.CosineDecay:
    """Linear warm-up from a ``div``-th of the peak, then half a cosine."""
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=settings.learning_rate / div if warmup else settings.learning_rate,
        decay_steps=total - warmup,
        alpha=settings.floor,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


class CosineRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """Half a cosine from the peak down in each cycle, and back to the peak at once (SGDR, section 3).

    The cycles are of one length and one height, the paper's T_mult = 1.

    Args:
        peak: rate at a cycle's beginning.
        floor: where a cycle ends, as a share of the peak.
        edges: steps at which cycles begin, and the step after the last.
        warmup: steps of linear warm-up, from a hundredth of the peak, before the first cycle's cosine, which is as much
            shorter.
    """

    def __init__(self, peak: float, floor: float, edges: Sequence[int], warmup: int = 0) -> None:
        super().__init__()
        self._peak, self._floor, self._warmup = peak, floor, min(warmup, edges[1] - 1)
        self._starts = [self._warmup, *edges[1:-1]]
        self._lengths = [end - start for start, end in pairwise([*self._starts, edges[-1]])]

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        starts = ops.convert_to_tensor(self._starts, "float32")
        cycle = ops.sum(ops.cast(step >= starts[1:], "int32"))
        share = (step - starts[cycle]) / ops.convert_to_tensor(self._lengths, "float32")[cycle]
        wave = (1 + ops.cos(math.pi * ops.clip(share, 0.0, 1.0))) / 2
        rising = 0.01 + 0.99 * step / max(self._warmup, 1)
        return self._peak * ops.where(step < self._warmup, rising, self._floor + (1 - self._floor) * wave)


def cycle_edges(settings: TrainSettings) -> list[int]:
    """Epochs at which cycles begin, the first is 0, and the number of all epochs at the end."""
    return [cycle * settings.epochs // settings.cycles for cycle in range(settings.cycles + 1)]


def plateau_rate(settings: TrainSettings, scores: Sequence[float]) -> float:
    """Learning rate after epochs with these validation scores: cut each time the score stops rising.

    Args:
        settings: ``plateau_patience`` epochs without a better score multiply the rate by ``plateau_factor``, down to
            ``floor`` times ``learning_rate``.
        scores: the score of each epoch so far.
    """
    rate, best, waited = settings.learning_rate, float("-inf"), 0
    for score in scores:
        if score > best:
            best, waited = score, 0
        else:
            waited += 1
        if waited >= settings.plateau_patience:
            rate, waited = max(rate * settings.plateau_factor, settings.learning_rate * settings.floor), 0
    return rate


def average_variables(model: keras.Model) -> list[keras.Variable]:
    """The optimizer's moving average of each trainable weight, in the order of ``model.trainable_variables``.

    Empty where averaging is off.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # float16 wraps it in a loss scaler
    return list(optimizer._model_variables_moving_average) if optimizer.use_ema else []
