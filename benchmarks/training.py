"""Training on this machine: share of the processor's peak, the cost of feeding and scoring, several folds at once."""

from __future__ import annotations

import numpy as np

from benchmarks import made_up
from benchmarks.flops import forward_flops
from benchmarks.machine import backend_matmul, limit, matmul_peak, precisions
from benchmarks.networks import TINY, compiled_network, random_batch
from benchmarks.processes import train_at_once
from benchmarks.rows import Row, once, versus
from pipeline.config import Settings, load
from pipeline.network.device import precision as chosen
from pipeline.prediction.build import make_network, make_predictor
from pipeline.scoring import metric, thresholding
from pipeline.system import machine
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
    unet = load("unet", TINY if quick else [])
    return rows + _epoch(unet, quick) + _jobs(unet, quick)


def _pace(name: str, settings: Settings, quick: bool) -> list[Row]:
    """Share of the processor's peak in a loop of steps on one batch, in float32 and, with units for it, in bfloat16."""
    multiply, rows = backend_matmul(limit()), []
    for precision in precisions():
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


def _epoch(settings: Settings, quick: bool) -> list[Row]:
    """What an epoch's feeding and scoring add to its steps."""
    count = 40 if quick else 256
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
        alone.append(train_at_once(settings, 1, cores, quick))
        together.append(train_at_once(settings, cores, 1, quick))
    gain = float(np.median(together) / np.median(alone))
    return [
        Row(
            f"`unet`: folds at once with a core each (`JOBS={cores}`): their pace together, against one with all cores",
            f"{gain:.2f} x",
            note=f"{np.median(together):.1f} against {np.median(alone):.1f} tiles/s, without feeding and scoring",
        )
    ]
