"""The page that shows a training while it runs, written by the process that runs the command.

It never ends a training: an error while it is written is one warning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType

from pipeline.config import UserError
from pipeline.execution.fold_history import FoldHistory, empty_share, fold_history, modified
from pipeline.execution.task import TrainTask
from pipeline.reporting.training_page import FoldProgress, TrainingRun, page
from pipeline.system import disk
from pipeline.system.atomic import write_bytes
from pipeline.system.progress import Epoch, echo, short_path

INTERVAL = 5.0
"""Fewest seconds between two versions of the page, and between two looks at the folds on disk."""

Say = Callable[[str], None]


class ProgressPage:
    """Keeps the page of an experiment's training up to date.

    Attributes:
        path: of the page.
        at_once: folds that are trained at the same time.

    Epochs come from events (``epoch``), and where folds run in other processes of this machine, from their files
    (``look``). As a context, it writes the page when the training starts and when it ends, however it ends.

    Args:
        path: of the page.
        run: the training.
        tasks: the folds that the command is about.
        others: other folds of the experiment, which are shown where there is something of them.
        at_once: folds that are trained at the same time.
    """

    def __init__(
        self,
        path: Path,
        run: TrainingRun,
        tasks: Sequence[TrainTask],
        others: Sequence[TrainTask] = (),
        at_once: int = 1,
    ) -> None:
        self.path, self.at_once = path, at_once
        self._run, self._wanted = run, {task.fold for task in tasks}
        self._tasks = sorted([*tasks, *others], key=lambda task: task.fold)
        self._read: dict[int, tuple[tuple[int, ...], FoldHistory]] = {}
        self._heard: dict[int, list[dict[str, float]]] = {}
        self._nothing: float | None = None
        self._ended: str | None = None
        self._changed, self._written, self._looked, self._warned = True, 0.0, 0.0, False

    def __enter__(self) -> ProgressPage:
        if self._write(echo):
            echo(f"progress: {short_path(self.path)}, updated after each epoch")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended = ""
        if error is not None:
            known = str(error) if isinstance(error, UserError) else disk.failure(error)
            self._ended = known or ("interrupted" if kind is KeyboardInterrupt else "an error")
            self._warned = True  # the error that ended the training is the one to print
        self._write(echo)

    def epoch(self, result: Epoch, say: Say = echo) -> None:
        """An epoch of a fold is done.

        Args:
            result: with the fold's history.
            say: prints a warning.
        """
        self._heard[result.fold] = [dict(row) for row in result.history]
        self._changed = True
        self.renew(say)

    def look(self, say: Say = echo) -> None:
        """Look at the folds on disk, and write the page again if one of them has changed."""
        if time.monotonic() - self._looked >= INTERVAL:
            self._looked = time.monotonic()
            try:
                self._changed |= any(self._is_other(task) for task in self._tasks)
            except OSError as error:
                self._warn(error, say)
            self.renew(say)

    def renew(self, say: Say = echo) -> None:
        """Write the page again if there is something new and the last version is not too recent."""
        if self._changed and time.monotonic() - self._written >= INTERVAL:
            self._write(say)

    def _write(self, say: Say) -> bool:
        """Write the page; returns whether that worked."""
        self._changed, self._written = False, time.monotonic()
        try:
            if self._nothing is None:
                self._nothing = empty_share(self._tasks[0].tiles.folder)
            folds = [self._progress(task) for task in self._tasks]
            shown = [each for each in folds if each.wanted or each.history]
            text = page(self._run, shown, datetime.now().astimezone(), self.at_once, self._ended, self._nothing)
            # Not worth waiting for the disk: it is written again soon, and a training can be shown again at any time.
            write_bytes(self.path, text.encode(), durable=False)
        except Exception as error:
            self._warn(error, say)
            return False
        return True

    def _warn(self, error: Exception, say: Say) -> None:
        """Print the first error; the page is tried again with the next epoch."""
        if not self._warned:
            reason = (error.strerror if isinstance(error, OSError) else "") or f"{type(error).__name__}: {error}"
            say(f"warning: {short_path(self.path)} is not up to date ({reason}); training goes on")
        self._warned = True

    def _is_other(self, task: TrainTask) -> bool:
        """Whether a fold's files are others than those that were read."""
        return task.fold not in self._read or self._read[task.fold][0] != modified(task)

    def _progress(self, task: TrainTask) -> FoldProgress:
        if self._is_other(task):
            self._read[task.fold] = modified(task), fold_history(task)
        found, heard = self._read[task.fold][1], self._heard.get(task.fold, [])
        # With a store, the epochs of a fold that runs elsewhere are only heard of.
        rows = max(found.rows, heard, key=len)
        return FoldProgress(task.fold, rows, found.trained, task.fold in self._wanted)
