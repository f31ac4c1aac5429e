"""Progress of long work: a bar with an ETA on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TextIO

_LINE_EVERY = 15.0
"""Seconds between two plain lines of one piece of work."""


def format_duration(seconds: float) -> str:
    """A duration as people say it: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def echo(text: str) -> None:
    """Print one line of a command's answer at once, even into a pipe."""
    try:
        print(text, flush=True)
    except OSError as error:
        if error.filename is None:
            error.filename = "standard output"
        raise


class Progress:
    """Counts done units of a known total.

    On a terminal it draws a tqdm bar on standard error. Elsewhere it prints a plain line now and then, so that a
    log stays readable, and nothing at all for work that ends before the first line is due.

    Args:
        title: what is being done, a few words.
        total: how many units there are.
        unit: the unit's name, in the plural.
        done: units that were done before (a resumed run).
        bar: draw a bar; by default where standard error is a terminal.
    """

    def __init__(self, title: str, total: int, unit: str, done: int = 0, bar: bool | None = None) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, done
        self._from, self._start, self._spoken = done, time.monotonic(), time.monotonic()
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
        """Whether there is a bar."""
        return self._bar is not None

    def advance(self, done: int) -> None:
        """Move a bar, and print no line where there is none."""
        step, self.done = done - self.done, done
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.update(step)

    def __call__(self, done: int, total: int | None = None) -> None:
        """Say that ``done`` units (of ``total``, where it was not known before) are ready."""
        if total is not None:
            self.total = total
        self.advance(done)
        if self._bar is None and done < self.total and time.monotonic() - self._spoken >= _LINE_EVERY:
            self._spoken = time.monotonic()
            echo(f"  {self.title}: {done:,} of {self.total:,} {self.unit}, {format_duration(self.remaining())} left")

    def echo(self, text: str) -> None:
        """Print a line; a bar makes room for it."""
        if self._bar is not None:
            self._bar.clear()
        echo(text)
        if self._bar is not None:
            self._bar.refresh()

    def note(self, text: str) -> None:
        """A few words that change while the work goes on, shown behind the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def remaining(self) -> float:
        """Seconds left at the pace so far; 0 before anything is known."""
        made = self.done - self._from
        return (time.monotonic() - self._start) / made * (self.total - self.done) if made else 0.0

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@dataclass(frozen=True)
class Epoch:
    """What a finished epoch tells whoever watches."""

    fold: int
    epoch: int
    """Epochs done, the first is 1."""
    epochs: int
    loss: float
    score: float
    best: float
    best_epoch: int
    seconds: float


class FoldCallback:
    """Whoever watches a fold being trained; each method may be overridden."""

    def resumed(self, fold: int, done: int) -> None:
        """The fold goes on after ``done`` epochs of an earlier, killed run."""

    def reused(self, fold: int, experiment: str) -> None:
        """The fold's network was taken over from another experiment, which had trained the same one."""

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        """A step of an epoch is done."""

    def epoch(self, told: Epoch) -> None:
        """An epoch is done, scored and saved."""
