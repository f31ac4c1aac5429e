"""Names of the files that a fold's training leaves."""

from __future__ import annotations

from pipeline.config import TrainSettings

HISTORY = "history.csv"
"""A row for each epoch."""


def weight_files(settings: TrainSettings) -> tuple[str, ...]:
    """Names of a fold's files of weights: of the best epoch, or of the best one in each of the last cycles."""
    if settings.snapshots == 1:
        return ("best.weights.h5",)
    last = range(settings.cycles - settings.snapshots + 1, settings.cycles + 1)
    return tuple(f"best-of-cycle-{cycle}.weights.h5" for cycle in last)
