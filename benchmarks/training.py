"""Training on this machine: share of the processor's peak, what feeding and scoring cost, and what others reach."""

from __future__ import annotations

import time
from typing import Any

import keras
import msgspec
import numpy as np

from benchmarks import made_up, peers
from benchmarks.flops import forward_flops
from benchmarks.machine import backend_matmul, matmul_peak
from benchmarks.rows import Row, seconds, versus
from pipeline import metric
from pipeline.batches import Batches
from pipeline.config import Settings, load
from pipeline.fit import compile_network, make_network, predictor
from pipeline.nn.optimizers import make_optimizer

TITLE = "Training"
GOALS = {"kernel": 0.6, "unet": 0.5}
TINY = ["network.width=4", "network.levels=2", "network.blocks=1", "train.batch=4"]


def measure(quick: bool = False) -> list[Row]:
    rows: list[Row] = []
    for name in ("kernel", "unet", "demo"):
        rows += _pace(name, load(name, TINY if quick else []), quick)
    rows += _others(load("kernel", TINY if quick else []), quick)
    return rows + _epoch(load("unet", TINY if quick else []), quick)


def _pace(name: str, settings: Settings, quick: bool) -> list[Row]:
    """Tiles a second in a loop of steps on one batch, in float32 and in bfloat16."""
    # Before and after, and the better one: a machine that others share is not equally fast all the time.
    multiply = backend_matmul()
    sizes = (256,) if quick else (2048, 4096)
    rows, peak = [], matmul_peak(multiply, sizes)
    for precision in ("float32", "bfloat16"):
        model, pace = _stepped(settings, precision, quick)
        peak = max(peak, matmul_peak(multiply, sizes))
        share = 3 * forward_flops(model) * pace / peak
        goal = GOALS.get(name) if precision == "float32" else None
        rows.append(
            Row(
                f"`{name}`, {precision}, {settings.input.size} x {settings.input.size}, batch {settings.train.batch}",
                f"{share:.0%} of the float32 peak; {pace:.1f} tiles/s",
                f"{goal:.0%} or more" if goal else "",
                share >= goal if goal else None,
                f"peak {peak / 1e9:.0f} GFLOP/s, forward {forward_flops(model) / 1e9:.2f} GFLOP",
            )
        )
    return rows


def _stepped(settings: Settings, precision: str, quick: bool) -> tuple[keras.Model, float]:
    model, size, answer = _network(settings, precision)
    images, masks = _batch(settings.train.batch, size, answer)
    steps = 1 if quick else max(3, 120 // settings.train.batch)
    taken = seconds(lambda: [model.train_on_batch(images, masks) for _ in range(steps)], 1 if quick else 3)
    return model, steps * settings.train.batch / taken


def _network(settings: Settings, precision: str = "float32") -> tuple[keras.Model, int, int]:
    train = msgspec.structs.replace(settings.train, precision=precision)
    model, frame = make_network(msgspec.structs.replace(settings, train=train))
    compile_network(model, make_optimizer(train, 100), train.loss)
    return model, frame.size, frame.output


def _batch(count: int, size: int, answer: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    images = draw.uniform(0, 255, (count, size, size, 1)).astype(np.float32)
    return images, (draw.random((count, answer, answer, 1)) > 0.7).astype(np.float32)


def _others(settings: Settings, quick: bool) -> list[Row]:
    """The kernel's network as we train it, as Keras would by itself, and in plain PyTorch."""
    model, size, answer = _network(settings)
    images, masks = _batch(settings.train.batch, size, answer)
    works: dict[str, Any] = {"ours": lambda: model.train_on_batch(images, masks)}
    default, _, _ = _network(settings)
    default.compile(make_optimizer(settings.train, 100), keras.losses.BinaryCrossentropy(from_logits=True))
    works["Keras' own settings"] = lambda: default.train_on_batch(images, masks)
    step = _torch_step(settings, images, masks)
    if step:
        works["PyTorch, channels last"] = step
    found = {}
    for name, work in works.items():
        work()
        times = []
        for _ in range(2 if quick or "Keras" in name else 6):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        found[name] = float(np.median(times))
    goals = {"Keras' own settings": 10.0, "PyTorch, channels last": 1.5}
    rows = [
        Row(
            f"`kernel`: our pace against {name}",
            f"{found[name] / found['ours']:.1f} x",
            f"{goal:g} x or more",
            found[name] / found["ours"] >= goal,
            "compile's jit_compile='auto', which is XLA" if "Keras" in name else "Adam, float32, eager",
        )
        for name, goal in goals.items()
        if name in found
    ]
    return rows if step else [*rows, Row("`kernel` in PyTorch", "not measured", note="torch is not installed")]


def _torch_step(settings: Settings, images: np.ndarray, masks: np.ndarray) -> Any:
    network = peers.torch_unet(settings.network.width)
    if network is None:
        return None
    import torch

    x = torch.from_numpy(images.transpose(0, 3, 1, 2)).to(memory_format=torch.channels_last)
    y = torch.from_numpy(masks.transpose(0, 3, 1, 2)).contiguous()
    optimizer = torch.optim.Adam(network.parameters())
    loss = torch.nn.BCEWithLogitsLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss(network(x / 255), y).backward()
        optimizer.step()

    return step


def _epoch(settings: Settings, quick: bool) -> list[Row]:
    """What an epoch's feeding and scoring add to its steps."""
    count = 40 if quick else 320
    masks = made_up.masks(count + count // 4)
    images = made_up.images(masks)
    seen, truth = images[count:], masks[count:]
    model, size, _ = _network(settings)
    _, frame = make_network(settings)
    batches = Batches(images, masks, np.arange(count), frame, settings.augment, settings.train.batch, 0)
    kept = [batches[0]] * len(batches)
    found, ready = np.empty(seen.shape, np.uint8), predictor(settings)

    def in_memory() -> None:
        for batch in kept:
            model.train_on_batch(*batch)

    def fed() -> None:
        for batch in batches.ahead():
            model.train_on_batch(*batch)

    def scored() -> None:
        ready.take(model)
        metric.score(metric.apply(ready(seen, found, flip=False), 0.5, 0), truth)

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
