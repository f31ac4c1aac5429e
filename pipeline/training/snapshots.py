"""Which epochs' weights are kept: the best of the run, or the best of each of the last cycles (``train.snapshots``)."""

from __future__ import annotations

import math
from itertools import pairwise

from pipeline.config import TrainSettings
from pipeline.network.schedules import cycle_edges
from pipeline.training.history import History, best_row


def kept_rows(train: TrainSettings, history: History) -> History:
    """The rows of the epochs whose weights are kept, in the order of ``files.weight_files``."""
    rows = [[row for row in history if row["epoch"] - 1 in epochs] for epochs in _epoch_ranges(train)]
    return [best_row(each) for each in rows if each]


def kept_epochs(train: TrainSettings, history: History) -> list[int]:
    """The epochs whose weights are kept, counted from 0."""
    return [row["epoch"] - 1 for row in kept_rows(train, history)]


def is_best(train: TrainSettings, history: History, epoch: int, score: float) -> bool:
    """Whether the weights of an epoch are to be kept, because its score is better than all before in its range.

    Args:
        train: ``epochs``, ``cycles``, ``snapshots``.
        history: of the epochs before.
        epoch: counted from 0.
        score: of the epoch.
    """
    for epochs in _epoch_ranges(train):
        if epoch in epochs:
            return score > max((row["score"] for row in history if row["epoch"] - 1 in epochs), default=-math.inf)
    return False


def _epoch_ranges(train: TrainSettings) -> list[range]:
    """Ranges of epochs, counted from 0, of each of which the best is kept: all epochs, or each of the last cycles."""
    if train.snapshots == 1:
        return [range(train.epochs)]
    return [range(*edges) for edges in pairwise(cycle_edges(train))][-train.snapshots :]
