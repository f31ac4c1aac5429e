"""Names of the files that the training of a fold writes."""

from __future__ import annotations

from pipeline.config import TrainSettings

HISTORY = "history.csv"
"""One row per epoch."""
PRETRAINED = "pretrained.weights.h5"
"""Weights of a network that was pretrained, without heads."""


def weight_files(settings: TrainSettings) -> tuple[str, ...]:
    """Names of a fold's files of weights: of the best or last epoch of the run, or of each of the last cycles."""
    if settings.snapshots == 1:
        return (f"{settings.keep}.weights.h5",)
    last = range(settings.cycles - settings.snapshots + 1, settings.cycles + 1)
    return tuple(f"{settings.keep}-of-cycle-{cycle}.weights.h5" for cycle in last)
