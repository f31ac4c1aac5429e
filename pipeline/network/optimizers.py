"""The optimizers."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from pipeline.config import TrainSettings
from pipeline.network.fused_adam import FusedAdam
from pipeline.network.schedules import learning_rate


class KeepWeightsAfterFit:
    """Mixin that leaves the weights unchanged when ``fit`` ends.

    Keras' optimizers overwrite the weights with their moving average at the end of each ``fit``. Here each ``fit`` is
    one epoch, and the average only replaces the weights during validation (see ``averaging.averaged``).
    """

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        del var_list


class Adam(KeepWeightsAfterFit, FusedAdam):
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""


class AdamW(KeepWeightsAfterFit, FusedAdam, keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""


class SGD(KeepWeightsAfterFit, keras.optimizers.SGD):
    """Stochastic gradient descent with momentum."""


def make_optimizer(settings: TrainSettings, steps: int) -> keras.optimizers.Optimizer:
    """Create the optimizer of a fold.

    Args:
        settings: optimizer, learning rate, schedule, weight decay, momentum of the moving average.
        steps: steps of one epoch.

    Returns:
        A Keras optimizer. Its learning rate follows the step (see ``schedules.learning_rate``), except for the
        schedules ``constant`` and ``plateau``: for those, set ``learning_rate`` between epochs.
    """
    rate = learning_rate(settings, steps)
    average = {"use_ema": settings.ema_momentum > 0, "ema_momentum": settings.ema_momentum or 0.99}
    if settings.optimizer == "sgd":
        return SGD(rate, momentum=settings.momentum, weight_decay=settings.weight_decay or None, **average)
    if settings.optimizer == "adamw":
        optimizer = AdamW(rate, weight_decay=settings.weight_decay, **average)
        # Weight decay regularises kernels; on a norm's scale and on biases it only does harm.
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        return optimizer
    return Adam(rate, weight_decay=settings.weight_decay or None, **average)


def average_variables(model: keras.Model) -> list[keras.Variable]:
    """The optimizer's moving average of each trainable weight, in the order of ``model.trainable_variables``.

    Empty where averaging is off.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # float16 wraps it in a loss scaler
    return list(optimizer._model_variables_moving_average) if optimizer.use_ema else []
