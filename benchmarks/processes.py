"""Training in new processes, with their own number of cores and environment variables."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.networks import compiled_network, random_batch
from pipeline.config import Settings
from pipeline.system import machine


def train_at_once(
    settings: Settings, processes: int, cores: int, quick: bool, variables: Mapping[str, str | None] | None = None
) -> float:
    """Training tiles per second of several processes together, each with some cores.

    Args:
        settings: of the network.
        processes: that train at once.
        cores: of each process.
        quick: for a moment only.
        variables: further environment variables of the processes; one that is None is not set.
    """
    spawn = multiprocessing.get_context("spawn")
    ready, results = spawn.Barrier(processes), spawn.Queue()
    before = dict(os.environ)
    try:
        machine.Resources(cores).apply()  # which a process must find in its environment when it starts
        for name, value in (variables or {}).items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        running = [spawn.Process(target=_train, args=(settings, quick, ready, results)) for _ in range(processes)]
        for process in running:
            process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    pace = sum(results.get(timeout=600) for _ in running)
    for process in running:
        process.join()
    return pace


def _train(settings: Settings, quick: bool, ready: Any, results: Any) -> None:
    model, size, answer = compiled_network(settings, settings.train.precision)
    images, masks = random_batch(settings.train.batch_size, size, answer)
    model.train_on_batch(images, masks)
    steps = 0
    ready.wait(timeout=600)
    started = time.perf_counter()
    # For a fixed time, not a number of steps, so that all processes are busy until the last one has been timed.
    while (passed := time.perf_counter() - started) < (0.2 if quick else 8.0):
        model.train_on_batch(images, masks)
        steps += 1
    results.put(steps * settings.train.batch_size / passed)
