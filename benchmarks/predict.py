"""Prediction: tiles a second against the usual loop, and against runtimes for prediction."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import msgspec
import numpy as np

from benchmarks import made_up, runtimes
from benchmarks.networks import TINY, plain
from benchmarks.rows import Row, versus
from pipeline.config import Settings, load
from pipeline.network.device import precision
from pipeline.network.layers import Gate
from pipeline.prediction.build import make_network, make_predictor
from pipeline.prediction.load import load_predictor
from pipeline.system import machine

TITLE = "Prediction"
EXPERIMENTS = ("unet",)
FOLDS = 2
GOAL = 1.3
RUNTIMES = {"OpenVINO": runtimes.openvino, "ONNX Runtime": runtimes.onnx_runtime}


def measure(quick: bool = False) -> list[Row]:
    settings = load("unet", TINY if quick else [])
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
    rows = [
        Row(
            f"{what}: our pace against a loop of load_model and model.predict",
            f"{theirs / ours:.2f} x ({len(images) * FOLDS * 2 / ours:.0f} passes/s ours)",
            "1.5 x or more",
            theirs / ours >= 1.5,
            "the loop is compiled without XLA, loads each fold, predicts, flips and averages in NumPy",
        ),
        Row(f"{what}: against the same loop as Keras compiles it by itself", f"{as_it_comes / ours:.1f} x"),
    ]
    return rows + _against_runtimes(settings, images, 1 if quick else 5)


def _against_runtimes(settings: Settings, images: np.ndarray, turns: int) -> list[Row]:
    """One network in memory, ready to predict, here and in other runtimes."""
    float32 = msgspec.structs.replace(settings, train=msgspec.structs.replace(settings.train, precision="float32"))
    source, transform = make_network(float32)
    ready, out = make_predictor(settings), np.empty(images.shape, np.uint8)
    ready.copy_weights_from(source)
    works: dict[str, Callable[[], object]] = {"ours": lambda: ready(images, out, ("plain", "flip"))}
    missing: dict[str, str] = {}
    margin, batch = transform.around_output, settings.predict.batch_size // 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        for title, start in RUNTIMES.items():
            try:
                if not path.exists():
                    runtimes.export(plain(source), path)
                infer = start(path)
                works[title] = partial(runtimes.probabilities, infer, images, margin, batch)
            except Exception as error:  # each package has exceptions of its own
                missing[title] = " ".join(str(error).split())[:160]
    found = dict(zip(works, versus(list(works.values()), turns), strict=True))
    what = f"{len(images)} tiles x 2 flips with `unet`, in memory: our pace against"
    rows = [
        Row(f"{what} {title}", f"{found[title] / found['ours']:.2f} x", note=_precision(title))
        for title in found
        if title != "ours"
    ]
    rows += [Row(f"{what} {title}", "not measured", note=note) for title, note in missing.items()]
    if len(found) == 1:
        return rows
    fastest = min((title for title in found if title != "ours"), key=found.__getitem__)
    ratio, passes = found[fastest] / found["ours"], 2 * len(images) / found["ours"]
    note = f"{fastest}; {passes:.0f} passes/s ours in {precision(settings.train.precision)}"
    reached = ratio >= GOAL
    return [*rows, Row(f"{what} the fastest of these", f"{ratio:.2f} x", f"{GOAL:g} x or more", reached, note)]


def _precision(title: str) -> str:
    half = title == "OpenVINO" and machine.has_bfloat16_units()
    return f"the network exported as ONNX, {'bfloat16' if half else 'float32'}; tiles are prepared in NumPy"


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
