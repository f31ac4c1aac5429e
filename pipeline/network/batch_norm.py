"""Batch norm that is fast on every backend."""

from __future__ import annotations

import keras

from pipeline.network.backend import is_tensorflow, tensorflow
from pipeline.network.layers import Tensor


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch norm over the last axis (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167).

    Numbers and weights are those of Keras' layer. On TensorFlow, Keras computes them with a dozen elementwise
    operations, each a pass over the whole image, and as many for the gradient; this class calls TensorFlow's fused
    operation instead. On JAX, XLA fuses Keras' operations.

    The name of the class is part of the keys in files of weights: do not rename it.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        if not training or not self.trainable or mask is not None or not is_tensorflow():
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tensorflow().compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        # The operation returns the sample variance, n / (n - 1) times the one that Keras keeps.
        shape = keras.ops.shape(inputs)
        count = keras.ops.cast(shape[0] * shape[1] * shape[2], variance.dtype)
        variance = variance * (count - 1) / keras.ops.maximum(count, 1)
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))
        return outputs
