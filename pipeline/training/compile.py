"""Compile a network for training."""

from __future__ import annotations

import keras

from pipeline.config import LossName, NetworkSettings
from pipeline.network.device import jit
from pipeline.network.losses import make_loss


def compile_network(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: LossName, network: NetworkSettings
) -> None:
    """Compile with the options that are fast on this backend and machine.

    Args:
        model: from ``build_unet``.
        optimizer: with its state, if the model was trained before.
        loss: of the mask.
        network: settings that the model was built with; the loss reads which auxiliary outputs there are.
    """
    model.compile(optimizer=optimizer, loss=make_loss(loss, network), jit_compile=jit())
