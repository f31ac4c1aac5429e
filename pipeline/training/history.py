"""The history of a training, one row per epoch, and what follows from its scores."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from pipeline.system.atomic import write_text
from pipeline.training.files import HISTORY

History = list[dict[str, Any]]
"""Rows of ``history.csv``; ``epoch`` is counted from 1."""


def best_row(history: History) -> dict[str, Any]:
    """The row with the best score; the first of several."""
    return max(history, key=lambda row: (row["score"], -row["epoch"]))


def stops_early(history: History, patience: int) -> bool:
    """Whether the score has not improved for ``patience`` epochs; never where ``patience`` is 0."""
    return bool(patience and history) and history[-1]["epoch"] - best_row(history)["epoch"] >= patience


def read_history(folder: Path) -> list[dict[str, str]]:
    """The rows of ``history.csv``."""
    with (folder / HISTORY).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_history(folder: Path, history: History) -> None:
    """Write ``history.csv`` atomically; its columns are those of the first row."""
    stream = io.StringIO(newline="")
    table = csv.DictWriter(stream, list(history[0]))
    table.writeheader()
    table.writerows(history)
    write_text(folder / HISTORY, stream.getvalue())
