"""Show how kernels are getting on, and go on asking where the network fails."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.config import UserError
from pipeline.data.sources.kaggle import UnreachableError
from pipeline.execution.kaggle.api import Status
from pipeline.execution.kaggle.kernel import NOTE
from pipeline.execution.kaggle.names import Kernel
from pipeline.execution.task import TrainTask
from pipeline.system.progress import Progress, echo, fold_names, format_duration

POLL = "PIPELINE_POLL"
"""Environment variable: seconds between two questions to Kaggle."""
DEFAULT_POLL = 30.0
TRIES = 12
"""Questions in a row that may fail; the pause doubles up to ten times the usual one."""
EPOCH = re.compile(r"fold (\d+)  epoch +(\d+)/")
"""The line of an epoch in a log."""
_SHOWN = re.compile(rf"fold \d+|{NOTE}|warning: |error: ")
"""Beginnings of the lines of a log that are shown."""

Answer = TypeVar("Answer")


def poll() -> float:
    """Seconds between two questions to Kaggle.

    Raises:
        UserError: the environment variable is not a number of seconds.
    """
    text = os.environ.get(POLL, "").strip() or str(DEFAULT_POLL)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise UserError(f"{POLL}={text}: write a number of seconds, more than 0 and at most 3600")
    return seconds


def persistently(question: Callable[[], Answer]) -> Answer:
    """Ask until Kaggle answers.

    Raises:
        UserError: Kaggle has not answered for a long time.
    """
    pause, started = poll() / 2, time.monotonic()
    for attempt in range(TRIES):
        try:
            return question()
        except UnreachableError as error:
            last = error
            if not attempt:
                echo(f"{str(error).partition(';')[0]}; the kernels go on at Kaggle; trying again")
        time.sleep(pause)
        pause = min(pause * 2, poll() * 10)
    raise UserError(
        f"{str(last).partition(';')[0]}, tried for {format_duration(time.monotonic() - started)}; the kernels go on at "
        "Kaggle, and the same command waits for them again"
    )


class Watch:
    """A bar over the epochs of all folds on a terminal; in a log a line for each epoch."""

    def __init__(self, tasks: Sequence[TrainTask]) -> None:
        self._epochs = dict.fromkeys((task.fold for task in tasks), 0)
        self._each = tasks[0].settings.train.epochs
        self._progress = Progress("train at Kaggle", len(tasks) * self._each, "epochs")
        self._seen: dict[Kernel, int] = {}
        self._names: dict[Kernel, str] = {}

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.close()

    def status(self, kernel: Kernel, status: Status) -> None:
        """Show a kernel's status where it has changed."""
        if self._names.get(kernel) != status.name:
            self._names[kernel] = status.name
            folds = fold_names(kernel.folds)
            self._progress.echo(f"kernel {kernel.ref} ({folds}): {status.name}; {kernel.page}")

    def log(self, kernel: Kernel, lines: Sequence[str]) -> None:
        """Show the new lines of a kernel's log."""
        for line in lines[self._seen.get(kernel, 0) :]:
            if found := EPOCH.match(line):
                fold = int(found[1])
                self._epochs[fold] = max(self._epochs.get(fold, 0), int(found[2]))
                self._progress.note(f"fold {fold} epoch {found[2]}/{self._each}")
                if self._progress.drawn:
                    continue
            if _SHOWN.match(line):
                self._progress.echo(line.removeprefix(NOTE))
        self._seen[kernel] = max(len(lines), self._seen.get(kernel, 0))
        self._progress.advance(sum(self._epochs.values()))

    def done(self, fold: int, line: str) -> None:
        """Show the result of a fold, where there is a line about it."""
        self._epochs[fold] = self._each
        self._progress.advance(sum(self._epochs.values()))
        if line:
            self._progress.echo(line)
