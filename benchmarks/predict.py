"""Prediction: tiles a second against the usual loop."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np

from benchmarks import made_up
from benchmarks.rows import Row, versus
from pipeline.config import Settings, load
from pipeline.network.layers import Gate
from pipeline.prediction.build import make_network
from pipeline.prediction.load import load_predictor

TITLE = "Prediction"
EXPERIMENTS = ("unet",)
FOLDS = 2


def measure(quick: bool = False) -> list[Row]:
    settings = load("unet", ["network.width=4", "network.levels=2", "network.blocks=1"] if quick else [])
    images = made_up.images(made_up.masks(40 if quick else 256))
    with tempfile.TemporaryDirectory() as folder:
        weights, models = [], []
        for fold in range(FOLDS):
            model, _ = make_network(settings, seed=fold)
            weights.append(Path(folder) / f"fold-{fold}.weights.h5")
            models.append(Path(folder) / f"fold-{fold}.keras")
            model.save_weights(weights[-1])
            model.save(models[-1])
        ours, theirs, as_it_comes = versus(
            [
                lambda: _ours(settings, weights, images),
                lambda: _loop(models, images, jit=False),
                lambda: _loop(models, images, jit="auto"),
            ],
            1 if quick else 3,
        )
    what = f"{len(images)} tiles x {FOLDS} folds x 2 flips with `unet`"
    return [
        Row(
            f"{what}: our pace against a loop of load_model and model.predict",
            f"{theirs / ours:.2f} x ({len(images) * FOLDS * 2 / ours:.0f} passes/s ours)",
            "1.5 x or more",
            theirs / ours >= 1.5,
            "the loop is compiled without XLA, loads each fold, predicts, flips and averages in NumPy",
        ),
        Row(f"{what}: against the same loop as Keras compiles it by itself", f"{as_it_comes / ours:.1f} x"),
    ]


def _ours(settings: Settings, weights: list[Path], images: np.ndarray) -> None:
    out = np.empty(images.shape, np.uint8)
    for path in weights:
        load_predictor(settings, path)(images, out, ("plain", "flip"))


def _loop(models: list[Path], images: np.ndarray, jit: bool | str) -> None:
    inputs = np.pad(images, ((0, 0), (5, 6), (5, 6)), mode="reflect")[..., None].astype(np.float32)
    for path in models:
        own = {"BatchNormalization": keras.layers.BatchNormalization, "Gate": Gate}
        model = keras.models.load_model(path, custom_objects=own)
        model.compile(jit_compile=jit)
        straight = model.predict(inputs, batch_size=32, verbose=0)[..., 0]
        flipped = model.predict(inputs[:, :, ::-1], batch_size=32, verbose=0)[:, :, ::-1, 0]
        np.rint(255 / (1 + np.exp(np.clip(-(straight + flipped) / 2, -30, 30)))).astype(np.uint8)
