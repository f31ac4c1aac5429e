"""A network of Keras in the runtimes that others use for prediction on a processor: OpenVINO and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import keras
import numpy as np

from pipeline.system import machine

Infer: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Images (batch, size, size, 1) float32 -> the network's output."""


def export(model: keras.Model, path: Path) -> None:
    """Write a network as ONNX, which both read.

    Raises:
        ImportError: onnx or tf2onnx is not installed.
    """
    _require("onnx", "tf2onnx")
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports only what was called
    model.export(path, format="onnx", verbose=False)


def openvino(path: Path) -> Infer:
    """OpenVINO in bfloat16 where the processor has units for it, and in float32 otherwise.

    Raises:
        ImportError: openvino is not installed.
    """
    _require("openvino")
    import openvino as runtime

    precision = "bf16" if machine.has_bfloat16_units() else "f32"
    limits = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": machine.cores()}
    network = runtime.Core().compile_model(path, "CPU", limits)
    return lambda images: network(images)[0]


def onnx_runtime(path: Path) -> Infer:
    """ONNX Runtime in float32: it has no bfloat16 convolutions for processors.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    _require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = machine.cores()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def probabilities(infer: Infer, images: np.ndarray, margin: tuple[int, int], batch: int) -> np.ndarray:
    """Predict tiles plain and mirrored, as a user of a runtime writes it.

    Args:
        infer: the runtime.
        images: (n, side, side) uint8.
        margin: mirrored pixels before and after a tile, on both axes.
        batch: tiles at a time; each is two images.

    Returns:
        (n, side, side) uint8, v for v / 255.
    """
    side, parts = images.shape[1], []
    for start in range(0, len(images), batch):
        tiles = images[start : start + batch].astype(np.float32)
        both = np.concatenate([tiles, tiles[:, :, ::-1]])
        logits = infer(np.pad(both, ((0, 0), margin, margin), mode="reflect")[..., None])[..., 0]
        inside = slice(margin[0], margin[0] + side)
        chance = 1 / (1 + np.exp(-logits[:, inside, inside].astype(np.float32)))
        plain, mirrored = np.split(chance, 2)
        parts.append(np.rint(127.5 * (plain + mirrored[:, :, ::-1])).astype(np.uint8))
    return np.concatenate(parts)


def _require(*names: str) -> None:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ImportError(f"{', '.join(missing)} not installed (make bench installs it)")
