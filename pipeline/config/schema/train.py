"""Section ``train``: optimization of one fold."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.config.schema.base import (
    Count,
    Fraction,
    FractionBelowOne,
    Natural,
    NonNegative,
    OpenFraction,
    Positive,
    Section,
    Seed,
)

LossName = Literal[
    "bce",
    "dice",
    "bce_dice",
    "focal",
    "lovasz",
    "lovasz_hinge",
    "symmetric_lovasz",
    "bce_lovasz",
    "bce_symmetric_lovasz",
    "weighted_border",
]
ExcludedTiles = Literal["constant", "tiny"]
"""Kinds of labelled tiles; see ``pipeline/data/exclusion.py``."""


class TrainSettings(Section, frozen=True):
    """Optimization of one fold."""

    pretrain: Literal["none", "masked"] = "none"
    """``masked``: each fold starts from a network that was trained to fill in masked blocks of all tiles' images, once
    for all folds; see section ``pretrain``. ``none``: from ``network.weights``."""
    epochs: Count = 48
    """Passes over the training tiles."""
    batch_size: Count = 8
    """Tiles per step."""
    exclude: tuple[ExcludedTiles, ...] = ()
    """Labelled tiles that are not trained on: ``constant``, whose image has one grey value, and ``tiny``, whose mask
    has 1 to 24 pixels of salt. They are scored like all others."""
    loss: LossName = "bce_dice"
    """Loss of the mask: binary cross-entropy (``bce``), Dice, focal, the Lovász hinge with elu + 1 (``lovasz``), with a
    hinge as in its paper (``lovasz_hinge``), or for both salt and background (``symmetric_lovasz``), sums of them
    (``bce_...``), or the border-weighted cross-entropy of the U-Net of 2015. See ``pipeline/network/losses/``."""
    late_loss: LossName | Literal[""] = "bce_symmetric_lovasz"
    """Loss of the last epochs; empty keeps ``loss`` to the end."""
    late_loss_start: Fraction = 0.3
    """Fraction of the epochs after which ``late_loss`` replaces ``loss``."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    """Optimizer, by its name in Keras."""
    learning_rate: Positive = 1e-3
    """Peak of the schedule."""
    weight_decay: NonNegative = 1e-2
    """Fraction of each weight, times the learning rate, that a step subtracts; with ``adamw`` not of biases and of the
    normalization's parameters."""
    momentum: FractionBelowOne = 0.9
    """Momentum of SGD."""
    schedule: Literal["constant", "plateau", "cosine", "one_cycle", "cosine_restarts"] = "cosine"
    """Learning rate schedule; see ``pipeline/network/schedules.py``."""
    warmup_epochs: NonNegative = 1.0
    """Epochs of linear warm-up before the cosine; with ``cosine_restarts`` they are part of the first cycle."""
    min_lr_ratio: Fraction = 0.01
    """Final rate of a cosine, and lower limit of ``plateau``, as a fraction of ``learning_rate``."""
    pct_start: FractionBelowOne = 0.3
    """With ``one_cycle``: fraction of the steps after which the rate reaches its peak, ``learning_rate``."""
    div_factor: Annotated[float, Meta(ge=1.0, le=1e6)] = 25.0
    """With ``one_cycle``: the initial rate is the peak divided by this."""
    cycles: Annotated[int, Meta(ge=1, le=1000)] = 4
    """With ``cosine_restarts``: number of cosine cycles, of lengths as equal as whole epochs allow."""
    first_cycle: FractionBelowOne = 0.0
    """With two or more ``cycles``: fraction of the epochs that the first one takes, so that a long cycle is followed by
    short, equal ones; 0 makes all equal."""
    snapshots: Annotated[int, Meta(ge=1, le=1000)] = 1
    """Number of the last cycles of each of which the weights of one epoch are kept; their probabilities are averaged. 1
    keeps one epoch of the whole run."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights are kept, of the run or of each cycle of ``snapshots``: ``best``, that with the best score
    on the fold's validation tiles, or ``last``, which no validation tile has chosen."""
    plateau_patience: Count = 5
    """With ``plateau``: epochs without a better score after which the rate is reduced."""
    plateau_factor: OpenFraction = 0.1
    """With ``plateau``: factor of a reduction."""
    early_stopping: Natural = 0
    """Number of epochs without a better score after which training stops; 0 turns it off."""
    ema_momentum: FractionBelowOne = 0.997
    """Momentum of the exponential moving average of the weights, which is then scored and kept; 0 turns it off."""
    ema_statistics: Literal["raw", "averaged", "recomputed"] = "raw"
    """Batch norm statistics of the weights that ``ema_momentum`` averages: ``raw``, those of the weights that are
    trained; ``averaged``, the moving average of the batches' statistics with the momentum ``ema_momentum``; or
    ``recomputed`` from training tiles before each scoring, as ``swa_start`` always does."""
    swa_start: FractionBelowOne = 0.0
    """Fraction of the epochs after which the weights at the end of each epoch are averaged with equal weight
    (stochastic weight averaging), and the average is scored and kept; 0 turns it off. Suits a constant or a cyclical
    rate."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """``auto`` is bfloat16 on a GPU (float16 on one without units for bfloat16, such as a T4) and on processors with
    matrix units for it, and float32 elsewhere."""
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    """Processes that prepare batches. 1 is a thread of the training process; 0 chooses: 1 without a GPU, otherwise the
    number of cores minus one."""
    tensorboard: bool = False
    """Write TensorBoard logs beside the fold's weights; needs the package tensorboard."""
    seed: Seed = 0
    """Seed of the initial weights, the order of the tiles, augmentation and dropout."""
