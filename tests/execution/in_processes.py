"""Work that tests give to other processes: in a module of its own, so that these do not import pytest and pandas."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from pipeline.config import UserError

if TYPE_CHECKING:
    from pipeline.execution.task import FoldTask


def write_threads(task: FoldTask, *_: object) -> None:
    """Write the threads of this process into a file."""
    (task.root / str(task.fold)).write_text(os.environ["OMP_NUM_THREADS"])
    if task.fold == 1:
        raise UserError("fold 1 fails")


def die(task: FoldTask, *_: object) -> None:
    """End this process as the system does when the memory is full: fold 1 once, fold 2 each time."""
    with (task.root / str(task.fold)).open("a") as file:
        file.write(f"{os.environ['OMP_NUM_THREADS']}\n")
    if task.fold == 0:
        raise UserError("fold 0 fails")
    if task.fold == 2 or (task.fold == 1 and (task.root / "1").read_text().count("\n") == 1):
        while not (task.root / "0").exists():
            time.sleep(0.01)
        time.sleep(0.5)  # until fold 0 has failed
        os.kill(os.getpid(), signal.SIGKILL)
