"""Progress of long work: a bar with an ETA on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

_LINE_EVERY = 15.0
"""Seconds between two plain lines."""


def fold_names(folds: Iterable[int]) -> str:
    """``fold 0``, or ``folds 0, 1``."""
    numbers = [str(fold) for fold in folds]
    return f"fold{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def short_path(path: Path) -> str:
    """A path, relative to the current folder where it lies in there."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def format_duration(seconds: float) -> str:
    """A duration for people: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_roughly(seconds: float) -> str:
    """A duration without the digits that an estimate does not have: ``45 s``, ``12 min``, ``3 h 20 min``."""
    step = 1 if seconds < 60 else 60 if seconds < 7200 else 600
    return format_duration(step * round(seconds / step)).replace(" 0 min", "").replace(" min 0 s", " min")


def echo(text: str) -> None:
    """Print one line and flush it, also into a pipe."""
    try:
        print(text, flush=True)
    except OSError as error:
        if error.filename is None:
            error.filename = "standard output"
        raise


class Progress:
    """Shows how many units of a known total are done.

    On a terminal it draws a tqdm bar on standard error. Otherwise it prints a plain line every 15 seconds, so that a
    log stays readable and short work prints nothing.

    Args:
        title: a few words for the work.
        total: number of units.
        unit: the unit's name, in the plural.
        done: units done before (a resumed run).
        bar: draw a bar; by default only where standard error is a terminal.
    """

    def __init__(self, title: str, total: int, unit: str, done: int = 0, bar: bool | None = None) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, done
        self._from, self._start, self._printed = done, time.monotonic(), time.monotonic()
        stream: TextIO = sys.stderr
        self._bar = None
        if stream.isatty() if bar is None else bar:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=done, desc=title, unit=f" {unit}", file=stream, dynamic_ncols=True, smoothing=0.05
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def drawn(self) -> bool:
        """Whether a bar is drawn."""
        return self._bar is not None

    def advance(self, done: int) -> None:
        """Move the bar to ``done`` units; without a bar, print nothing."""
        step, self.done = done - self.done, done
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.update(step)

    def __call__(self, done: int, total: int | None = None) -> None:
        """Report that ``done`` units are done; ``total`` replaces the total where it was not known before."""
        if total is not None:
            self.total = total
        self.advance(done)
        if self._bar is None and done < self.total and time.monotonic() - self._printed >= _LINE_EVERY:
            self._printed = time.monotonic()
            echo(f"  {self.title}: {done:,} of {self.total:,} {self.unit}, {format_duration(self.remaining())} left")

    def echo(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.clear()
        echo(text)
        if self._bar is not None:
            self._bar.refresh()

    def note(self, text: str) -> None:
        """Show a few words after the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def remaining(self) -> float:
        """Estimated seconds left at the pace so far; 0 before the first unit is done."""
        new = self.done - self._from
        return (time.monotonic() - self._start) / new * (self.total - self.done) if new else 0.0

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@dataclass(frozen=True)
class Epoch:
    """The results of an epoch, for ``FoldCallback.epoch``."""

    fold: int
    epoch: int
    """Number of epochs done; 1 after the first."""
    epochs: int
    loss: float
    score: float
    best: float
    best_epoch: int
    seconds: float
    history: tuple[Mapping[str, Any], ...] = ()
    """A row for each epoch so far, as in ``history.csv``."""


class PretrainingCallback:
    """Receives the events of a pretraining; override the methods you need."""

    def resumed(self, views: int, total: int) -> None:
        """Pretraining resumes after so many of all views."""

    def unusable(self, kept: Path) -> None:
        """The state of an interrupted run cannot be used; it is kept in a file, and pretraining starts again."""

    def views(self, views: int, total: int) -> None:
        """So many of all views are done."""

    def epoch(self, views: int, total: int, loss: float) -> None:
        """An epoch has ended with this mean loss, after so many of all views, and is saved."""


class FoldCallback:
    """Receives the events of a fold's training; override the methods you need."""

    def resumed(self, fold: int, done: int) -> None:
        """Training resumes after ``done`` epochs of an interrupted run."""

    def unusable(self, fold: int, kept: Path) -> None:
        """The state of an interrupted run cannot be used; it is kept in a file, and training starts again."""

    def reused(self, fold: int, experiment: str) -> None:
        """The weights were copied from another experiment that had trained the same network."""

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        """A step of an epoch has ended."""

    def epoch(self, result: Epoch) -> None:
        """An epoch has ended and is scored and saved."""
