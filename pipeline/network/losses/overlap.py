"""Losses of a tile's overlap: Dice and the Lovász hinge."""

from __future__ import annotations

import keras
from keras import ops

from pipeline.network.layers import Tensor
from pipeline.network.losses.pointwise import without_channel


class Dice(keras.losses.Loss):
    """One minus the soft Dice coefficient of each tile, 2 sum(p t) / (sum(p) + sum(t)); (batch,).

    Milletari et al. (2016, https://arxiv.org/abs/1606.04797) square p and t in the denominator; the plain sums are the
    form in common use, also in the competition's kernels.

    Per tile rather than over the batch, because the competition scores tiles. With the smoothing, the loss of a tile
    without salt increases with its predicted area.

    Args:
        smooth: added to numerator and denominator, in pixels.
    """

    def __init__(self, smooth: float = 1.0, name: str = "dice") -> None:
        super().__init__(name=name)
        self.smooth = smooth

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        truth, logits = without_channel(y_true, y_pred)
        probability = ops.sigmoid(logits)
        both = ops.sum(truth * probability, axis=(1, 2))
        total = ops.sum(truth, axis=(1, 2)) + ops.sum(probability, axis=(1, 2))
        return 1 - (2 * both + self.smooth) / (total + self.smooth)


class LovaszHinge(keras.losses.Loss):
    """Lovász hinge of each tile (Berman et al. 2018, https://arxiv.org/abs/1705.08790); (batch,).

    A convex surrogate of one minus the IoU: the sorted hinge errors, each weighted by what it adds to the Jaccard loss.
    The Jaccard loss is one of sets: of a soft label, a pixel counts as salt above 0.5.

    Args:
        elu: apply elu + 1 to the errors instead of a hinge, so that correct pixels keep a small gradient (a change that
            several winners of the competition made). Without it the loss is the paper's.
        symmetric: the mean of the loss for salt and the loss for the background. A tile without salt then learns from
            more than its worst pixel.
    """

    def __init__(self, elu: bool = True, symmetric: bool = False, name: str = "lovasz") -> None:
        super().__init__(name=name)
        self.elu, self.symmetric = elu, symmetric

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        truth, logits = without_channel(y_true, y_pred)
        pixels = truth.shape[1] * truth.shape[2]
        truth, logits = ops.reshape(truth, (-1, pixels)), ops.reshape(logits, (-1, pixels))
        truth = ops.cast(truth > 0.5, "float32")
        # Errors and their order are the same for salt and for background: sort once, which is the slow part.
        errors = 1 - logits * (2 * truth - 1)
        order = ops.argsort(-errors, axis=1)
        errors = ops.take_along_axis(errors, order, axis=1)
        truth = ops.take_along_axis(truth, order, axis=1)
        weights = _jaccard_steps(truth)
        if self.symmetric:
            weights = (weights + _jaccard_steps(1 - truth)) / 2
        hinge = ops.elu(errors) + 1 if self.elu else ops.relu(errors)
        return ops.sum(hinge * ops.stop_gradient(weights), axis=1)


def _jaccard_steps(truth: Tensor) -> Tensor:
    """What the k-th pixel adds to the Jaccard loss if the first k - 1 are wrong: (batch, pixels) -> the same."""
    salt = ops.sum(truth, axis=1, keepdims=True)
    union = salt + ops.cumsum(1 - truth, axis=1)
    jaccard = 1 - (salt - ops.cumsum(truth, axis=1)) / ops.maximum(union, 1e-6)
    return ops.concatenate([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], axis=1)
