"""TensorBoard logs of a fold."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pipeline.config import UserError

SCALARS = ("loss", "score", "learning_rate", "seconds")
"""Columns of the history that are logged."""


class TensorBoardLog:
    """Writes rows of the history as TensorBoard scalars.

    Args:
        folder: of the logs.
        history: rows of the epochs that are done; if there are none, the logs of an earlier run are removed.

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

    def add(self, row: dict[str, Any]) -> None:
        """Log one row; the epoch is the step."""
        for name in SCALARS:
            self._writer.add_scalar(name, row[name], row["epoch"])
        self._writer.flush()
