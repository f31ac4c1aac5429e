"""Rows of the benchmark tables, and timing of functions against each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        what: what was measured.
        value: the result with its unit, as text.
        goal: the target, if there is one.
        reached: whether the goal was reached, if there is one.
        note: conditions of the measurement.
    """

    what: str
    value: str
    goal: str = ""
    reached: bool | None = None
    note: str = ""


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Median wall time of some runs, after one warm-up run."""
    return versus([work], runs)[0]


def once(work: Callable[[], object]) -> float:
    """Wall time of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def versus(works: list[Callable[[], object]], runs: int = 5) -> list[float]:
    """Median wall time of each, run in turns, so that a slower phase of the machine affects all of them."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for work, found in zip(works, times, strict=True):
            found.append(once(work))
    return [statistics.median(found) for found in times]
