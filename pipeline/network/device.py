"""What the machine and the backend are good at."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import keras

from pipeline.config import TrainSettings
from pipeline.system import machine


def gpus() -> list[str]:
    """GPUs that the backend sees."""
    if keras.backend.backend() == "torch":  # for which Keras has no list
        import torch

        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    # Asked for GPUs by name, JAX raises where there is none.
    return [name for name in keras.distribution.list_devices() if name.split(":")[0].lower() in ("gpu", "cuda", "rocm")]


def precision(wanted: str = TrainSettings().precision) -> str:
    """Name of the Keras dtype policy: what ``train.precision`` asks for, or what suits the machine."""
    if wanted == "auto":
        wanted = "bfloat16" if gpus() or _multiplies_bfloat16() else "float32"
    return wanted if wanted == "float32" else f"mixed_{wanted}"


@cache
def _multiplies_bfloat16() -> bool:
    """Whether TensorFlow runs on a processor with matrix units for bfloat16 (AMX), which nearly halve a step's time."""
    if keras.backend.backend() != "tensorflow":
        return False  # XLA makes no use of them for convolutions
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False


def jit() -> bool:
    """Whether to compile with XLA: it makes TensorFlow on a CPU ten times slower, torch has none, JAX lives by it."""
    return keras.backend.backend() == "jax" or (keras.backend.backend() == "tensorflow" and bool(gpus()))


def workers(wanted: int = TrainSettings().workers) -> int:
    """Workers that prepare batches: ``train.workers``, or as many as suit the machine.

    Beside a processor that trains, one thread keeps up, and more would only take cores from it. A GPU is waited on by
    one core, and all the others may work for it.
    """
    return wanted or (max(1, machine.cores() - 1) if gpus() else 1)
