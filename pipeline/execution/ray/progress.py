"""Events of a task's progress on their way to the driver."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.execution.ray.jobs import Job, TaskContext
from pipeline.execution.task import FoldTask
from pipeline.system.progress import Epoch, FoldCallback

INTERVAL = 0.5
"""Seconds between two queries of the driver, and between two events of a task about its steps."""

Event = tuple[int, str, Any]
"""Number of the job, kind of the event, value."""


class ProgressActor:
    """An actor on the driver's machine: keeps the tasks' events until the driver takes them."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def put(self, number: int, kind: str, value: Any) -> None:
        self._events.append((number, kind, value))

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events


class RemoteCallback(FoldCallback):
    """Sends a task's events to the driver.

    Args:
        context: of the task.
        job: of the task.
        save: called after each epoch, before its event is sent to the driver.
    """

    def __init__(self, context: TaskContext, job: Job[FoldTask], save: Callable[[], None] | None = None) -> None:
        self._actor, self._number, self._save = context.progress, job.number, save
        self._last_step = 0.0

    def send(self, kind: str, value: Any, wait: bool = True) -> None:
        import ray

        # A driver that has ended, or is busy, must not end the fold.
        with suppress(ray.exceptions.RayError):
            sent = self._actor.put.remote(self._number, kind, value)
            if wait:
                ray.get(sent, timeout=30)

    def resumed(self, fold: int, done: int) -> None:
        self.send("resumed", done)

    def unusable(self, fold: int, kept: Path) -> None:
        self.send("unusable", str(kept))

    def reused(self, fold: int, experiment: str) -> None:
        self.send("reused", experiment)

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        if time.monotonic() - self._last_step > INTERVAL:
            self._last_step = time.monotonic()
            self.send("step", (epoch, step, steps), wait=False)

    def epoch(self, result: Epoch) -> None:
        if self._save is not None:
            self._save()
        self.send("epoch", result)
