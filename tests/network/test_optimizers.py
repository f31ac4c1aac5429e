"""Optimizers: they follow the schedule, and the fused step equals Keras'."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipeline.config import load
from pipeline.network.optimizers import average_variables, make_optimizer
from pipeline.network.schedules import learning_rate

pytestmark = pytest.mark.backends

STEPS = 10


def test_the_optimizer_follows_the_schedule():

    settings = load("unet", ["train.schedule=cosine_restarts", "train.epochs=4", "train.warmup_epochs=0"]).train
    optimizer = make_optimizer(settings, STEPS)
    variable = keras.Variable(1.0)
    optimizer.build([variable])
    for _ in range(STEPS + 5):
        optimizer.apply([keras.ops.ones(())], [variable])
    middle = settings.learning_rate * (1 + settings.min_lr_ratio) / 2
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(middle, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_fused_step_equals_keras(optimizer: str):
    """Weights and moving averages after some compiled steps."""

    settings = load(
        "unet", [f"train.optimizer={optimizer}", "train.epochs=2", "train.weight_decay=0.3", "train.ema_momentum=0.7"]
    ).train
    ours = make_optimizer(settings, STEPS)
    kind = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[optimizer]
    theirs = kind(learning_rate(settings, STEPS), weight_decay=0.3, use_ema=True, ema_momentum=0.7)
    if optimizer == "adamw":
        theirs.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    draw = np.random.default_rng(0)
    images, targets = draw.normal(size=(8, 8, 8, 1)), draw.normal(size=(8, 6, 6, 1))
    averages, weights = [], []
    for each in (ours, theirs):
        keras.utils.set_random_seed(0)
        image = keras.Input((8, 8, 1))
        # No bias: before a norm its gradient is rounding error only, which Adam scales to the size of any other.
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(image))
        model = keras.Model(image, keras.layers.Conv2D(1, 1)(x))
        model.compile(optimizer=each, loss="mse", jit_compile=False)
        each.build(model.trainable_variables)  # otherwise the first step is traced twice
        for _ in range(5):
            model.train_on_batch(images, targets)
        averages.append([keras.ops.convert_to_numpy(average.value) for average in average_variables(model)])
        # Keras replaces the weights by the average only at the end of ``fit``, which is not called here.
        weights.append(model.get_weights())
    for mine, keras_own in zip(averages[0] + weights[0], averages[1] + weights[1], strict=True):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-4, atol=1e-6)
