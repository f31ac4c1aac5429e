"""Losses on logits.

Each takes ``y_true`` (batch, h, w, 1), 0 or 1, and ``y_pred`` (batch, h, w, 1) logits, and computes in float32. They
return a value per pixel (batch, h, w) or per tile (batch,); Keras applies sample weights and takes the mean.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import keras
import numpy as np
from keras import ops

from pipeline.config import LossName, NetworkSettings

Tensor: TypeAlias = keras.KerasTensor


class BinaryCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of each pixel, from logits; (batch, h, w)."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _crossentropy(*_prepared(y_true, y_pred))


class Dice(keras.losses.Loss):
    """One minus the soft Dice coefficient of each tile, 2 sum(p t) / (sum(p) + sum(t)).

    Milletari et al. (2016, https://arxiv.org/abs/1606.04797) square p and t in the denominator; the plain sums are the
    form that most took over since, the competition's kernels among them.

    Per tile rather than over the batch, because the competition scores tiles. The smoothing of one pixel gives a tile
    without salt a loss that falls as its predicted area does.

    Args:
        smooth: added to numerator and denominator, in pixels.
    """

    def __init__(self, smooth: float = 1.0, name: str = "dice") -> None:
        super().__init__(name=name)
        self.smooth = smooth

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        truth, logits = _prepared(y_true, y_pred)
        chance = ops.sigmoid(logits)
        both = ops.sum(truth * chance, axis=(1, 2))
        total = ops.sum(truth, axis=(1, 2)) + ops.sum(chance, axis=(1, 2))
        return 1 - (2 * both + self.smooth) / (total + self.smooth)


class Focal(keras.losses.Loss):
    """Focal loss of each pixel (Lin et al. 2017, https://arxiv.org/abs/1708.02002), from logits; (batch, h, w).

    Args:
        gamma: how strongly pixels that are right already are played down; 0 is cross-entropy.
    """

    def __init__(self, gamma: float = 2.0, name: str = "focal") -> None:
        super().__init__(name=name)
        self.gamma = gamma

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        truth, logits = _prepared(y_true, y_pred)
        chance = ops.sigmoid(logits)
        wrong = truth * (1 - chance) + (1 - truth) * chance
        return ops.power(wrong, self.gamma) * _crossentropy(truth, logits)


class LovaszHinge(keras.losses.Loss):
    """Lovász hinge of each tile (Berman et al. 2018, https://arxiv.org/abs/1705.08790); (batch,).

    A convex surrogate of one minus the IoU: hinge errors, sorted, weighted by what each would add to the Jaccard loss.

    Args:
        elu: pass the errors through elu + 1 instead of a hinge, so that pixels which are right keep a small gradient
            (a change that several winners of the competition made). Without it the loss is the paper's.
        symmetric: the mean of the loss for salt and of that for everything else, so that background counts alike. A
            tile without salt then has more than its one worst pixel to learn from.
    """

    def __init__(self, elu: bool = True, symmetric: bool = False, name: str = "lovasz") -> None:
        super().__init__(name=name)
        self.elu, self.symmetric = elu, symmetric

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        truth, logits = _prepared(y_true, y_pred)
        pixels = truth.shape[1] * truth.shape[2]
        truth, logits = ops.reshape(truth, (-1, pixels)), ops.reshape(logits, (-1, pixels))
        # The errors, and so their order, are the same for salt and for everything else: sorting is what takes time.
        errors = 1 - logits * (2 * truth - 1)
        order = ops.argsort(-errors, axis=1)
        errors = ops.take_along_axis(errors, order, axis=1)
        truth = ops.take_along_axis(truth, order, axis=1)
        weights = _jaccard_steps(truth)
        if self.symmetric:
            weights = (weights + _jaccard_steps(1 - truth)) / 2
        rise = ops.elu(errors) + 1 if self.elu else ops.relu(errors)
        return ops.sum(rise * ops.stop_gradient(weights), axis=1)


def _jaccard_steps(truth: Tensor) -> Tensor:
    """What the k-th pixel adds to the Jaccard loss when the k before it are wrong already: (batch, pixels), of such."""
    salt = ops.sum(truth, axis=1, keepdims=True)
    union = salt + ops.cumsum(1 - truth, axis=1)
    jaccard = 1 - (salt - ops.cumsum(truth, axis=1)) / ops.maximum(union, 1e-6)
    return ops.concatenate([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], axis=1)


class Sum(keras.losses.Loss):
    """A weighted sum of losses, per tile: (batch,).

    Args:
        terms: pairs of weight and loss.
        name: of the sum.
    """

    def __init__(self, terms: list[tuple[float, keras.losses.Loss]], name: str) -> None:
        super().__init__(name=name)
        self.terms = terms

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return sum(weight * _per_tile(loss.call(y_true, y_pred)) for weight, loss in self.terms)


class MultiOutputLoss(keras.losses.Loss):
    """The loss of the mask, and beside it those of the network's other answers; per tile, (batch,).

    The network answers (batch, h, w, channels): the mask's logits, then the logit that the tile holds salt (the same
    for each pixel) if there is a head for it, then the mask's logits as each coarser level of the expansive path sees
    them. Of those, each second pixel counts for the first, each fourth for the next, and so on: the level itself has no
    more, and sorting all of them for each level's Lovász hinge would take longer than the level.

    Args:
        loss: of a mask.
        network: ``empty_head`` and ``deep_supervision`` are the weights of the others.
    """

    def __init__(self, loss: keras.losses.Loss, network: NetworkSettings) -> None:
        super().__init__(name=loss.name)
        self.loss, self.network = loss, network

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        total = _per_tile(self.loss.call(y_true, y_pred[..., :1]))
        coarser = 1
        if self.network.empty_head:
            coarser = 2
            salt = ops.cast(ops.max(y_true, axis=(1, 2, 3)) > 0.5, "float32")
            tile = ops.cast(ops.mean(y_pred[..., 1], axis=(1, 2)), "float32")
            total = total + self.network.empty_head * _crossentropy(salt, tile)
        if self.network.deep_supervision:
            for number, channel in enumerate(range(coarser, y_pred.shape[-1]), start=1):
                every = 2**number
                level = self.loss.call(y_true[:, ::every, ::every], y_pred[:, ::every, ::every, channel : channel + 1])
                total = total + self.network.deep_supervision * _per_tile(level)
        return total


def make_loss(name: LossName, network: NetworkSettings | None = None) -> keras.losses.Loss:
    """The loss of a setting's name.

    ``weighted_border`` is cross-entropy; its weights come with the batches (``border_weights``).

    Args:
        name: of the loss of a mask.
        network: whose answers it is for; by default, one that answers with a mask alone.
    """
    makers = {
        "bce": lambda: BinaryCrossentropy(name="bce"),
        "weighted_border": lambda: BinaryCrossentropy(name="weighted_border"),
        "dice": Dice,
        "focal": Focal,
        "lovasz": LovaszHinge,
        "lovasz_hinge": lambda: LovaszHinge(elu=False, name="lovasz_hinge"),
        "symmetric_lovasz": lambda: LovaszHinge(symmetric=True, name="symmetric_lovasz"),
        "bce_dice": lambda: Sum([(1.0, BinaryCrossentropy()), (1.0, Dice())], name="bce_dice"),
        "bce_lovasz": lambda: Sum([(0.5, BinaryCrossentropy()), (1.0, LovaszHinge())], name="bce_lovasz"),
        "bce_symmetric_lovasz": lambda: Sum(
            [(0.5, BinaryCrossentropy()), (1.0, LovaszHinge(symmetric=True))], name="bce_symmetric_lovasz"
        ),
    }
    loss = makers[name]()
    if network is None or not (network.empty_head or network.deep_supervision):
        return loss
    return MultiOutputLoss(loss, network)


def border_weights(mask: np.ndarray, w0: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """Pixel weights that press a network to keep bodies apart (Ronneberger et al. 2015, section 3).

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), with d1 and d2 the distances from a background pixel to
    the nearest and the second nearest body. Cells lie side by side, salt mostly does not: with a single body d2 is
    taken to be d1, which weights the rim around it; without salt only w_c is left. w_c evens out the classes: each
    pixel weighs the inverse of its class' share of the tile, between 0.5 and 2.

    Args:
        mask: (h, w) uint8, 0 or 1.
        w0: height of the border term.
        sigma: its width in pixels.

    Returns:
        (h, w) float32.
    """
    mask = np.ascontiguousarray(mask, np.uint8)
    share = float(mask.mean())
    balance = np.where(mask > 0, _inverse(share), _inverse(1 - share)).astype(np.float32)
    bodies, labels = cv2.connectedComponents(mask)
    if bodies < 2:
        return balance
    # Distance to each body: to the nearest pixel of it, 0 inside. Label 0 is the background.
    # By steps of up to two pixels, true to a few hundredths: OpenCV's precise distances are not the same bits each time
    # that they are taken, and batches must be.
    far = np.stack(
        [cv2.distanceTransform((labels != body).astype(np.uint8), cv2.DIST_L2, 5) for body in range(1, bodies)]
    )
    nearest = np.sort(far, axis=0)[:2]
    d1, d2 = nearest[0], nearest[-1]
    border = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    return (balance + border * (mask == 0)).astype(np.float32)


def _inverse(share: float) -> float:
    return float(np.clip(0.5 / max(share, 1e-6), 0.5, 2.0))


def _prepared(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (batch, h, w) float32."""
    return ops.cast(ops.squeeze(y_true, -1), "float32"), ops.cast(ops.squeeze(y_pred, -1), "float32")


def _crossentropy(truth: Tensor, logits: Tensor) -> Tensor:
    # max(z, 0) - z y + log(1 + exp(-|z|)) never overflows.
    return ops.relu(logits) - logits * truth + ops.log1p(ops.exp(-ops.abs(logits)))


def _per_tile(values: Tensor) -> Tensor:
    return ops.mean(values, axis=(1, 2)) if len(values.shape) == 3 else values
