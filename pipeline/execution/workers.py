"""A pool of processes that share the machine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from multiprocessing.sharedctypes import Synchronized

from pipeline.system import machine
from pipeline.system.worker import start_worker


def workers(context: SpawnContext, resources: Sequence[machine.Resources]) -> ProcessPoolExecutor:
    """A pool with one process for each of the resources."""
    # Where a pool is interrupted, Python's tracker removes its semaphores, as it should, but with a warning on screen.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    taken = context.Value("i", 0)
    return ProcessPoolExecutor(len(resources), context, initializer=_start, initargs=(taken, resources))


@contextmanager
def terminated_on_error(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Terminate a pool's processes where the block is interrupted; the pool itself would wait for their folds."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise


def _start(taken: Synchronized[int], resources: Sequence[machine.Resources]) -> None:
    """Start a worker process, before it imports a framework."""
    start_worker()
    with taken.get_lock():
        number = taken.value
        taken.value += 1
    resources[number].apply()
