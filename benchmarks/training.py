"""Training on this machine: share of the processor's peak, the cost of feeding and scoring, and the speed of others."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import frameworks, made_up
from benchmarks.flops import forward_flops
from benchmarks.machine import backend_matmul, limit, matmul_peak
from benchmarks.networks import TINY, compiled_network, random_batch
from benchmarks.rows import Row, once, versus
from pipeline.config import Settings, load
from pipeline.network.backend import is_tensorflow
from pipeline.network.device import precision as chosen
from pipeline.prediction.build import make_network, make_predictor
from pipeline.scoring import metric, thresholding
from pipeline.system import backends, machine
from pipeline.training.batches import Batches
from pipeline.training.fold import LabelledTiles

TITLE = "Training"
QUICK = ("kernel", "unet")
EXPERIMENTS = ("kernel", "notebook", "unet", "demo", "article", "paper", "large", "imagenet")
GOALS = {"kernel": 0.6, "unet": 0.5}
HEAVY = 5e11
"""Operations of a step above which few steps are enough."""


def measure(quick: bool = False) -> list[Row]:
    rows: list[Row] = []
    for name in QUICK if quick else EXPERIMENTS:
        rows += _pace(name, load(name, TINY if quick else []), quick)
    for name in frameworks.NETWORKS:
        rows += frameworks.compare(name, load(name, TINY if quick else []), quick)
    unet = load("unet", TINY if quick else [])
    return rows + _onednn(quick) + _epoch(unet, quick) + _jobs(unet, quick)


def _pace(name: str, settings: Settings, quick: bool) -> list[Row]:
    """Share of the processor's peak in a loop of steps on one batch, in float32 and in bfloat16."""
    multiply, rows = backend_matmul(limit()), []
    for precision in ("float32", "bfloat16"):
        model, size, answer = compiled_network(settings, precision)
        images, masks = random_batch(settings.train.batch_size, size, answer)
        work = 3 * forward_flops(model)
        # Steps and matrix products in turns, each pair close together: the speed of a shared machine varies over time.
        heavy = work * settings.train.batch_size > HEAVY
        steps = 1 if quick or heavy else max(2, 64 // settings.train.batch_size)
        model.train_on_batch(images, masks)
        shares, paces, peaks = [], [], []
        for _ in range(1 if quick else 3 if heavy else 7):
            peaks.append(matmul_peak(multiply, (256,) if quick else (2048, 4096), runs=2))
            taken = once(lambda: [model.train_on_batch(images, masks) for _ in range(steps)])  # noqa: B023
            paces.append(steps * settings.train.batch_size / taken)
            shares.append(work * paces[-1] / peaks[-1])
        default = chosen("auto").removeprefix("mixed_") == precision
        share, goal = float(np.median(shares)), GOALS.get(name) if default else None
        rows.append(
            Row(
                f"`{name}`, {precision}{' (what auto is here)' if default else ''}, "
                f"{settings.input.size} x {settings.input.size}, batch {settings.train.batch_size}",
                f"{share:.0%} of the {limit()} peak; {np.median(paces):.1f} tiles/s",
                f"{goal:.0%} or more" if goal else "",
                share >= goal if goal else None,
                f"{min(shares):.0%} to {max(shares):.0%} in {len(shares)} turns; peak {np.median(peaks) / 1e9:.0f} "
                f"GFLOP/s, forward {work / 3e9:.2f} GFLOP",
            )
        )
    return rows


def _onednn(quick: bool) -> list[Row]:
    """The pace with oneDNN's operations against those that TensorFlow chooses by itself, in processes in turns."""
    if not is_tensorflow():
        return []
    rows = []
    for name in ("demo", "unet"):
        settings = load(name, TINY if quick else [])
        paces: dict[str | None, list[float]] = {"1": [], None: []}
        for _ in range(1 if quick else 3):
            for value, found in paces.items():
                found.append(_together(settings, 1, machine.cores(), quick, {backends.ONEDNN: value}))
        ours, theirs = (float(np.median(found)) for found in paces.values())
        rows.append(
            Row(
                f"`{name}`: our pace, with oneDNN, against the operations that TensorFlow chooses by itself",
                f"{ours / theirs:.2f} x",
                note=f"{ours:.1f} against {theirs:.1f} tiles/s; {chosen('auto').removeprefix('mixed_')}",
            )
        )
    return rows


def _epoch(settings: Settings, quick: bool) -> list[Row]:
    """What an epoch's feeding and scoring add to its steps."""
    count = 40 if quick else 512
    masks = made_up.masks(count + count // 4)
    images = made_up.images(masks)
    seen, truth = images[count:], masks[count:]
    model, size, _ = compiled_network(settings, settings.train.precision)
    _, transform = make_network(settings)
    batches = Batches(
        LabelledTiles(images, masks), np.arange(count), transform, settings.augment, settings.train.batch_size, 0
    )
    kept = [batches[0]] * len(batches)
    found, ready = np.empty(seen.shape, np.uint8), make_predictor(settings)

    def in_memory() -> None:
        for batch in kept:
            model.train_on_batch(*batch)

    def fed() -> None:
        for batch in batches.ahead():
            model.train_on_batch(*batch)

    def scored() -> None:
        ready.copy_weights_from(model)
        metric.score(thresholding.apply(ready(seen, found, ("plain",)), 0.5, 0), truth)

    memory, disk, scoring = versus([in_memory, fed, scored], 1 if quick else 3)
    return [
        Row(
            "`unet`: an epoch with the whole augmentation, against the same steps on one batch in memory",
            f"{disk / memory - 1:+.1%}",
            "+5 % or less",
            disk / memory <= 1.05,
            f"{count} tiles",
        ),
        Row(
            "`unet`: validation and score at the end of an epoch, against the epoch",
            f"{scoring / disk:.1%}",
            "5 % or less",
            scoring / disk <= 0.05,
            f"a quarter as many tiles as are trained on, as with five folds ({size} x {size})",
        ),
    ]


def _jobs(settings: Settings, quick: bool) -> list[Row]:
    """The speed of folds trained at once with a core each, as with ``JOBS``, against one fold with all cores."""
    cores = machine.cores()
    if cores == 1:
        return []
    alone, together = [], []
    for _ in range(1 if quick else 3):  # in turns, as everywhere
        alone.append(_together(settings, 1, cores, quick))
        together.append(_together(settings, cores, 1, quick))
    gain = float(np.median(together) / np.median(alone))
    return [
        Row(
            f"`unet`: folds at once with a core each (`JOBS={cores}`): their pace together, against one with all cores",
            f"{gain:.2f} x",
            note=f"{np.median(together):.1f} against {np.median(alone):.1f} tiles/s, without feeding and scoring",
        )
    ]


def _together(
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
        running = [spawn.Process(target=_steps, args=(settings, quick, ready, results)) for _ in range(processes)]
        for process in running:
            process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    pace = sum(results.get(timeout=600) for _ in running)
    for process in running:
        process.join()
    return pace


def _steps(settings: Settings, quick: bool, ready: Any, results: Any) -> None:
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
