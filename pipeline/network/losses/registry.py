"""The losses by their names in the settings."""

from __future__ import annotations

from collections.abc import Callable

import keras

from pipeline.config import LossName, NetworkSettings
from pipeline.network.losses.combined import MultiOutputLoss, WeightedSum
from pipeline.network.losses.overlap import Dice, LovaszHinge
from pipeline.network.losses.pointwise import BinaryCrossentropy, Focal

_LOSSES: dict[LossName, Callable[[], keras.losses.Loss]] = {
    "bce": lambda: BinaryCrossentropy(name="bce"),
    "weighted_border": lambda: BinaryCrossentropy(name="weighted_border"),
    "dice": Dice,
    "focal": Focal,
    "lovasz": LovaszHinge,
    "lovasz_hinge": lambda: LovaszHinge(elu=False, name="lovasz_hinge"),
    "symmetric_lovasz": lambda: LovaszHinge(symmetric=True, name="symmetric_lovasz"),
    "bce_dice": lambda: WeightedSum([(1.0, BinaryCrossentropy()), (1.0, Dice())], name="bce_dice"),
    "bce_lovasz": lambda: WeightedSum([(0.5, BinaryCrossentropy()), (1.0, LovaszHinge())], name="bce_lovasz"),
    "bce_symmetric_lovasz": lambda: WeightedSum(
        [(0.5, BinaryCrossentropy()), (1.0, LovaszHinge(symmetric=True))], name="bce_symmetric_lovasz"
    ),
}


def make_loss(name: LossName, network: NetworkSettings | None = None) -> keras.losses.Loss:
    """Create the loss of this name.

    ``weighted_border`` is cross-entropy; its pixel weights come with the batches (see ``border_weights``).

    Args:
        name: of the loss of a mask.
        network: whose outputs the loss is for; None for a network whose only output is the mask.
    """
    loss = _LOSSES[name]()
    if network is None or not (network.empty_head or network.deep_supervision):
        return loss
    return MultiOutputLoss(loss, network)
