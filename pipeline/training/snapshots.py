"""Which epochs' weights are kept.

That of the run, or of each of the last cycles (``train.snapshots``), with the best score or the last one
(``train.keep``).
"""

from __future__ import annotations

import math
from itertools import pairwise

from pipeline.config import TrainSettings
from pipeline.network.schedules import cycle_edges
from pipeline.training.history import History, best_row


def kept_rows(train: TrainSettings, history: History) -> History:
    """The rows of the epochs whose weights are kept, in the order of ``files.weight_files``."""
    if train.keep == "last":
        return [row for row in history if row["epoch"] - 1 in _last_epochs(train)]
    rows = [[row for row in history if row["epoch"] - 1 in epochs] for epochs in _epoch_ranges(train)]
    return [best_row(each) for each in rows if each]


def kept_epochs(train: TrainSettings, history: History) -> list[int]:
    """The epochs whose weights are kept, counted from 0."""
    return [row["epoch"] - 1 for row in kept_rows(train, history)]


def is_kept(train: TrainSettings, history: History, epoch: int, score: float) -> bool:
    """Whether the weights of an epoch are to be kept for now.

    They are if its score is better than all before in its range, or, with ``train.keep = "last"``, if it is the last of
    its range.

    Args:
        train: ``epochs``, ``cycles``, ``snapshots``, ``keep``.
        history: of the epochs before.
        epoch: counted from 0.
        score: of the epoch.
    """
    if train.keep == "last":
        return epoch in _last_epochs(train)
    for epochs in _epoch_ranges(train):
        if epoch in epochs:
            return score > max((row["score"] for row in history if row["epoch"] - 1 in epochs), default=-math.inf)
    return False


def _last_epochs(train: TrainSettings) -> list[int]:
    return [epochs[-1] for epochs in _epoch_ranges(train)]


def _epoch_ranges(train: TrainSettings) -> list[range]:
    """Ranges of epochs, counted from 0, of each of which one is kept: all epochs, or each of the last cycles."""
    if train.snapshots == 1:
        return [range(train.epochs)]
    return [range(*edges) for edges in pairwise(cycle_edges(train))][-train.snapshots :]
