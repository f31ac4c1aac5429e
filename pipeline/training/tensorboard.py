"""TensorBoard logs of a fold, for those who like to watch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pipeline.config import UserError

SHOWN = ("loss", "score", "learning_rate", "seconds")


class Board:
    """Writes what an epoch's row of the history holds.

    Args:
        folder: of the logs.
        history: rows of the epochs that are done; with none, logs of an earlier run are removed.

    Raises:
        UserError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path, history: list[dict[str, Any]]) -> None:
        try:
            from tensorboard.summary import Writer
        except ImportError:
            raise UserError(
                "train.tensorboard needs the package tensorboard: run make board once, or pip install tensorboard"
            ) from None
        if not history and folder.exists():
            shutil.rmtree(folder)
        self._writer = Writer(str(folder))

    def epoch(self, row: dict[str, Any]) -> None:
        """Log one row; the epoch is the step."""
        for name in SHOWN:
            self._writer.add_scalar(name, row[name], row["epoch"])
        self._writer.flush()
