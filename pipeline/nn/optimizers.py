"""Optimizers and learning rates.

A learning rate is a function of the step (cosine) or of the history so far (plateau), so that a resumed run finds
its place without any state of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from pipeline.config import TrainSettings


class KeepsRawWeights:
    """Leaves the weights as they are when ``fit`` ends.

    Keras' optimizers put the moving average in the weights' place at the end of every ``fit``; here one ``fit`` is one
    epoch, and the average is only looked at between epochs (see ``averaged``).
    """

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        del var_list


class Adam(KeepsRawWeights, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015)."""


class AdamW(KeepsRawWeights, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""


class SGD(KeepsRawWeights, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum."""


def make_optimizer(settings: TrainSettings, steps: int) -> keras.optimizers.Optimizer:
    """The optimizer of a fold.

    Args:
        settings: optimizer, learning rate, schedule, weight decay, momentum of the moving average.
        steps: steps of one epoch.

    Returns:
        A Keras optimizer. With ``schedule = "cosine"`` its learning rate follows the step by itself (linear warm-up,
        then Loshchilov and Hutter's cosine, https://arxiv.org/abs/1608.03983); otherwise set ``learning_rate`` between
        epochs.
    """
    rate: float | keras.optimizers.schedules.LearningRateSchedule = settings.learning_rate
    if settings.schedule == "cosine":
        warmup = min(int(settings.warmup * steps), settings.epochs * steps - 1)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=settings.learning_rate / 100 if warmup else settings.learning_rate,
            decay_steps=settings.epochs * steps - warmup,
            alpha=settings.floor,
            warmup_target=settings.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    average = {"use_ema": settings.ema > 0, "ema_momentum": settings.ema or 0.99}
    if settings.optimizer == "sgd":
        return SGD(rate, momentum=settings.momentum, weight_decay=settings.weight_decay or None, **average)
    if settings.optimizer == "adamw":
        optimizer = AdamW(rate, weight_decay=settings.weight_decay, **average)
        # Decay pulls weights towards 0; for a norm's scale and for biases that is no regularisation, only harm.
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        return optimizer
    return Adam(rate, weight_decay=settings.weight_decay or None, **average)


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
