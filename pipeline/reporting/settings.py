"""What the pages derive from an experiment's settings."""

from __future__ import annotations

from pipeline.config import Settings, TrainSettings, differences
from pipeline.config.phases import epochs_before


def changed_rows(settings: Settings) -> list[dict[str, str]]:
    """A row for each setting that differs from its default."""
    changes = differences(settings).items()
    return [{"setting": key, "default": str(old), "here": str(new)} for key, (old, new) in changes]


def marked_epoch(train: TrainSettings) -> str:
    """What ``best_epoch`` in a fold's manifest is: of the epochs whose weights are kept, the one with the best score.

    Returns:
        ``best``, or ``kept`` where the last epoch is kept whatever its score.
    """
    return "kept" if train.keep == "last" else "best"


def late_epoch(train: TrainSettings, epochs: int) -> int | None:
    """The first epoch with the late loss, counted from 1; None where none of the first ``epochs`` has it."""
    first = epochs_before(train.late_loss_start, train.epochs) + 1
    return first if train.late_loss and 1 < first <= epochs else None
