"""Our training pace against others' for the same network and loss, each as its users run it on this processor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import keras
import numpy as np

from benchmarks.networks import TINY, compiled_network, plain, random_batch
from benchmarks.processes import train_at_once
from benchmarks.rows import Row, versus
from pipeline.config import Settings, load
from pipeline.network.backend import is_tensorflow
from pipeline.network.device import precision
from pipeline.network.losses import make_loss
from pipeline.prediction.build import make_network
from pipeline.system import backends, machine

TITLE = "Training, against other frameworks"
EXPERIMENTS = ("kernel", "unet", "demo")
NETWORKS = ("kernel", "unet")
GOALS = {"unet": 1.3}
KERAS, EAGER, COMPILED = "Keras' model.fit", "PyTorch", "PyTorch with torch.compile"
NOTES = {
    KERAS: "compile and fit with their defaults, Keras' own batch norm and Adam",
    EAGER: "channels last, fused Adam",
    COMPILED: "the same; network and loss are compiled by inductor",
}
NO_TORCH = "torch is not installed: install its build for processors, see https://pytorch.org/get-started"


def measure(quick: bool = False) -> list[Row]:
    rows = []
    for name in NETWORKS:
        rows += compare(name, load(name, TINY if quick else []), quick)
    return rows + _onednn(quick)


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
                found.append(train_at_once(settings, 1, machine.cores(), quick, {backends.ONEDNN: value}))
        ours, theirs = (float(np.median(found)) for found in paces.values())
        rows.append(
            Row(
                f"`{name}`: our pace, with oneDNN, against the operations that TensorFlow chooses by itself",
                f"{ours / theirs:.2f} x",
                note=f"{ours:.1f} against {theirs:.1f} tiles/s; {precision().removeprefix('mixed_')}",
            )
        )
    return rows


def compare(name: str, settings: Settings, quick: bool) -> list[Row]:
    """Rows for one experiment, ``kernel`` or ``unet``. All train in the precision that ``auto`` selects here."""
    batch, steps = settings.train.batch_size, 1 if quick else max(2, 64 // settings.train.batch_size)
    loss = settings.train.late_loss or settings.train.loss
    model, size, answer = compiled_network(settings, loss=loss)
    images, masks = random_batch(batch, size, answer)

    def ours() -> None:
        for _ in range(steps):  # as in training.epoch
            model.train_on_batch(images, masks)

    works: dict[str, Callable[[], object]] = {"ours": ours}
    works[KERAS] = _plain_keras(settings, np.tile(images, (steps, 1, 1, 1)), np.tile(masks, (steps, 1, 1, 1)))
    missing: dict[str, str] = {}
    for title in (EAGER, COMPILED):
        try:
            step = _torch_step(name, settings, images, masks, compiled=title == COMPILED)
            step()  # compiles
            works[title] = partial(_repeat, step, steps)
        except ImportError:
            missing[title] = NO_TORCH
        except Exception as error:  # inductor has no common exception class, and needs a C++ compiler
            missing[title] = " ".join(str(error).split())[:160]
    found = dict(zip(works, versus(list(works.values()), 1 if quick else 5), strict=True))
    rows = [
        Row(f"`{name}`: our pace against {title}", f"{found[title] / found['ours']:.2f} x", note=NOTES[title])
        for title in found
        if title != "ours"
    ]
    rows += [Row(f"`{name}`: our pace against {title}", "not measured", note=note) for title, note in missing.items()]
    fastest = min((title for title in found if title != "ours"), key=found.__getitem__)
    ratio, goal = found[fastest] / found["ours"], GOALS.get(name)
    pace = f"{fastest}; {precision()}, {steps * batch / found['ours']:.1f} tiles/s ours"
    what = f"`{name}`: our pace against the fastest of these"
    target = f"{goal:g} x or more" if goal else ""
    return [*rows, Row(what, f"{ratio:.2f} x", target, ratio >= goal if goal else None, pace)]


def _repeat(step: Callable[[], object], steps: int) -> None:
    for _ in range(steps):
        step()


def _plain_keras(settings: Settings, images: np.ndarray, masks: np.ndarray) -> Callable[[], object]:
    train = settings.train
    model = plain(make_network(settings)[0])
    optimizer = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[train.optimizer]
    model.compile(optimizer(train.learning_rate), make_loss(train.late_loss or train.loss, settings.network))
    return lambda: model.fit(images, masks, batch_size=train.batch_size, shuffle=False, verbose=0)


def _torch_step(
    name: str, settings: Settings, images: np.ndarray, masks: np.ndarray, compiled: bool
) -> Callable[[], object]:
    """A function that trains one step.

    Raises:
        ImportError: torch is not installed.
    """
    if find_spec("torch") is None:
        raise ImportError(NO_TORCH)
    import torch

    from benchmarks import torch_networks

    torch.set_num_threads(machine.cores())
    half = precision() == "mixed_bfloat16"
    x, y = (torch.from_numpy(np.ascontiguousarray(each.transpose(0, 3, 1, 2))) for each in (images, masks))
    x = x.to(memory_format=torch.channels_last)
    network: torch.nn.Module
    if name == "kernel":
        network, loss, scale, offset = torch_networks.KernelUNet(settings.network), torch_networks.kernel_loss(), 255, 0
    else:
        network, loss = torch_networks.DefaultUNet(settings.network), torch_networks.default_loss(settings.network)
        scale, offset = 64, 2
    network = network.to(memory_format=torch.channels_last).train()
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.train.optimizer]
    optimizer = make(network.parameters(), lr=settings.train.learning_rate, fused=True)

    def forward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = network(x / scale - offset)
        return loss(outputs, y)

    objective = torch.compile(forward) if compiled else forward

    def step() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer.zero_grad()
            objective().backward()
            optimizer.step()

    return step
