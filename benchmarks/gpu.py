"""One NVIDIA GPU: pace, share of the bfloat16 peak, waiting for batches, folds at once. JAX: ``make bench-gpu``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from itertools import repeat
from pathlib import Path

import numpy as np

from benchmarks.rows import Row

TITLE = "One GPU"
BATCHES = {"kernel": 128, "unet": 64}
EXPERIMENTS = tuple(BATCHES)
TINY = ["network.width=4", "network.levels=2", "network.blocks=1", "train.batch_size=4"]


def measure(quick: bool = False) -> list[Row]:
    os.environ["KERAS_BACKEND"] = "jax"
    # Before this process reserves the GPU's memory, which the folds' processes need.
    folds = _folds(quick)
    rows: list[Row] = []
    for name, batch in BATCHES.items():
        rows += _pace(name, [*(TINY if quick else [f"train.batch_size={batch}"])], quick)
    return rows + folds


def _pace(name: str, overrides: list[str], quick: bool) -> list[Row]:
    import keras

    from benchmarks import made_up
    from benchmarks.flops import forward_flops
    from benchmarks.machine import backend_matmul, matmul_peak
    from pipeline.config import load
    from pipeline.network.device import gpus, workers
    from pipeline.network.optimizers import make_optimizer
    from pipeline.prediction.build import make_network, make_predictor
    from pipeline.training.batches import Batches
    from pipeline.training.compile import compile_network
    from pipeline.training.epoch import train_one_epoch
    from pipeline.training.fold import LabelledTiles

    settings = load(name, overrides)
    model, transform = make_network(settings)
    compile_network(model, make_optimizer(settings.train, 100), settings.train.loss, settings.network)
    count = 12 if quick else 4000
    masks = made_up.masks(count)
    images = made_up.images(masks)
    tiles = LabelledTiles(images, masks)
    batches = Batches(tiles, np.arange(count), transform, settings.augment, settings.train.batch_size, 0, workers())
    steps = 2 if quick else 60
    first = tuple(keras.ops.convert_to_tensor(part) for part in batches[0])
    # With ``fit``, as folds are trained: ``train_on_batch`` would wait for the loss at each step.
    model.fit((each for each in repeat(first)), steps_per_epoch=steps, verbose=0)
    started = time.perf_counter()
    model.fit((each for each in repeat(first)), steps_per_epoch=steps, verbose=0)
    memory = steps * settings.train.batch_size / (time.perf_counter() - started)
    train_one_epoch(model, batches, 0)
    started = time.perf_counter()
    train_one_epoch(model, batches, 1)
    fed = len(batches) * settings.train.batch_size / (time.perf_counter() - started)
    batches.close()
    ready, out = make_predictor(settings), np.empty(images.shape, np.uint8)
    ready(images[:600], out[:600])
    started = time.perf_counter()
    ready(images, out)
    predicted = 2 * count / (time.perf_counter() - started)
    sizes = (256,) if quick else (8192, 16384)
    peak = matmul_peak(backend_matmul("bfloat16"), sizes)
    share = 3 * forward_flops(model) * memory / peak
    device = "GPU" if gpus() else "no GPU: the processor"
    return [
        Row(
            f"`{name}`, batch {settings.train.batch_size}: training on a batch in the GPU's memory",
            f"{memory:,.0f} tiles/s, {share:.0%} of the bfloat16 peak",
            note=f"peak {peak / 1e12:.1f} TFLOP/s; {device}",
        ),
        Row(
            f"`{name}`: an epoch with the whole augmentation",
            f"{fed:,.0f} tiles/s, waits {max(0.0, 1 - fed / memory):.0%} of the time for batches",
        ),
        Row(f"`{name}`: prediction, image passes", f"{predicted:,.0f} /s"),
    ]


def _folds(quick: bool) -> list[Row]:
    """Five folds of the default experiment, one after another and at once."""
    survey = "survey.train=40 survey.test=12" if quick else "survey.train=4000 survey.test=100"
    small = " ".join(TINY) + " train.epochs=1" if quick else "train.epochs=2 train.batch_size=32"
    took = {}
    for jobs in (1, 2) if quick else (1, 5):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pipeline", "STAGE", "--root", folder, "--dataset", "demo"]
            command += ["--set", f"{survey} {small}", "--jobs", str(jobs)]
            for stage in ("split", "train"):
                started = time.perf_counter()
                command[3] = stage
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path.cwd())
            took[jobs] = time.perf_counter() - started
    (_, serial), (many, parallel) = took.items()
    return [
        Row("five folds of `unet`, batch 32, two epochs each, one after another", f"{serial:.0f} s"),
        Row(f"the same, {many} at once", f"{serial / parallel:.2f} x as fast ({parallel:.0f} s)"),
    ]
