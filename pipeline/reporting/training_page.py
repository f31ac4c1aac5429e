"""The page of a training: how far each fold is, and its learning curves so far.

It is drawn again after each epoch by the process that runs the training, so this module imports neither matplotlib nor
NumPy.
"""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipeline.config import Settings
from pipeline.reporting import pages
from pipeline.reporting.line_chart import Chart, line_chart
from pipeline.reporting.settings import changed_rows, late_epoch

RELOAD = 30
"""Seconds after which a browser loads the page again while training runs."""
REPORT = "report.html"
"""Address of the experiment's report from its progress page."""
RECENT = 5
"""Epochs of a fold whose median time is used for the estimate of the time left."""

Row = dict[str, float]
"""A row of ``history.csv``, as numbers."""


@dataclass(frozen=True)
class TrainingRun:
    """What does not change during a training."""

    experiment: str
    dataset: str
    settings: Settings
    machine: str
    command: str
    """Starts the training again."""


@dataclass(frozen=True)
class FoldProgress:
    """How far one fold is."""

    fold: int
    history: Sequence[Row]
    """A row for each epoch that is done."""
    trained: bool
    """Whether all its epochs are done."""
    wanted: bool = True
    """Whether the command is about it."""


def page(
    run: TrainingRun,
    folds: Sequence[FoldProgress],
    now: datetime,
    at_once: int = 1,
    ended: str | None = None,
    nothing: float | None = None,
) -> str:
    """The page as HTML.

    Args:
        run: the training.
        folds: in their order.
        now: with a time zone.
        at_once: folds that are trained at the same time.
        ended: None while the training runs, an empty text after it has finished, or why it has stopped.
        nothing: score of predicting nothing, if known.
    """
    epochs = run.settings.train.epochs
    wanted = [each for each in folds if each.wanted]
    total = sum(len(each.history) if each.trained else epochs for each in wanted)
    left = remaining_seconds(wanted, epochs, at_once)
    return pages.render(
        "progress",
        title=f"{run.experiment} on {run.dataset}",
        reload=RELOAD if ended is None else 0,
        ended=ended,
        report=REPORT,
        done=sum(len(each.history) for each in wanted),
        total=total,
        left=left,
        ends=None if left is None else _clock(now + timedelta(seconds=left), now),
        early=bool(run.settings.train.early_stopping),
        now=f"{now:%Y-%m-%d %H:%M:%S %Z}",
        folds=[_fold(each, epochs) for each in folds],
        charts=_charts(run, folds, nothing),
        nothing=nothing,
        changed=changed_rows(run.settings),
        machine=run.machine,
        command=run.command,
    )


def remaining_seconds(folds: Sequence[FoldProgress], epochs: int, at_once: int) -> float | None:
    """Estimated seconds until all folds are trained; None before the first epoch is done.

    Args:
        folds: those that are trained. The pace of a fold without an epoch is the median of the others.
        epochs: of each.
        at_once: folds at the same time.
    """
    paces = {each.fold: statistics.median(map(_seconds, each.history[-RECENT:])) for each in folds if each.history}
    if not paces:
        return None
    usual = statistics.median(paces.values())
    # In the folds' order, as they are trained: each starts where the first of those before it ends.
    waiting = [(epochs - len(each.history)) * paces.get(each.fold, usual) for each in folds if not each.trained]
    slots = [0.0] * max(at_once, 1)
    for seconds in waiting:
        heapq.heapreplace(slots, slots[0] + max(seconds, 0.0))
    return max(slots)


def best_epoch(history: Sequence[Row]) -> int:
    """The epoch with the best score, the first of several; 0 before the first."""
    return int(max(history, key=lambda row: (row["score"], -row["epoch"]))["epoch"]) if history else 0


def _seconds(row: Row) -> float:
    return row["seconds"] + row["seconds_scoring"]


def _fold(fold: FoldProgress, epochs: int) -> dict[str, Any]:
    """The row of a fold."""
    rows, done = fold.history, len(fold.history)
    best = rows[best_epoch(rows) - 1] if rows else None
    state = "no epoch is done" if fold.wanted else "not part of this command"
    if fold.trained:
        state = "done" if done >= epochs else "done, stopped early"
    elif rows:
        state = f"loss {rows[-1]['loss']:.4f}, {_seconds(rows[-1]):.1f} s per epoch"
    return {
        "fold": fold.fold,
        "done": done,
        "epochs": epochs,
        "share": 1.0 if fold.trained else min(done / epochs, 1.0),
        "state": state,
        "last": rows[-1]["score"] if rows else None,
        "best": best["score"] if best else None,
        "best epoch": int(best["epoch"]) if best else None,
    }


def _charts(run: TrainingRun, folds: Sequence[FoldProgress], nothing: float | None) -> list[Chart]:
    """Score and loss over epochs; none before the first epoch is done."""
    shown = [each for each in folds if each.history]
    if not shown:
        return []
    train = run.settings.train
    epochs = max(train.epochs, *(len(each.history) for each in shown))
    late = late_epoch(train, epochs)
    note = "; dashed: the loss changes" if late else ""
    dotted = "" if nothing is None else "; dotted: predicting nothing"

    def curves(key: str) -> dict[int, list[tuple[int, float]]]:
        return {each.fold: [(int(row["epoch"]), row[key]) for row in each.history] for each in shown}

    best = {each.fold: best_epoch(each.history) for each in shown}
    caption = f"score on the fold's validation tiles at 0.5; star: best epoch{dotted}{note}"
    return [
        line_chart(curves("score"), caption, epochs, best, late, nothing),
        line_chart(curves("loss"), f"training loss{note}", epochs, late=late),
    ]


def _clock(then: datetime, now: datetime) -> str:
    """A time of day; with the date where that is another one."""
    return f"{then:%H:%M %Z}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M %Z}"
