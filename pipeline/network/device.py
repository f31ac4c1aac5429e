"""Devices, numeric precision, compilation and number of workers that suit the machine and the backend."""

from __future__ import annotations

from functools import cache

import keras

from pipeline.config import TrainSettings
from pipeline.system import machine


def gpus() -> list[str]:
    """Names of the GPUs that the backend can use."""
    if keras.backend.backend() == "torch":  # Keras cannot list its devices
        import torch

        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    # With a device type as argument, JAX raises where there is no such device.
    return [name for name in keras.distribution.list_devices() if name.split(":")[0].lower() in ("gpu", "cuda", "rocm")]


def precision(wanted: str = TrainSettings().precision) -> str:
    """Name of the Keras dtype policy for ``train.precision``; for ``auto``, the one that suits the machine."""
    if wanted == "auto" and gpus():
        wanted = machine.gpu_precision()
    elif wanted == "auto":
        wanted = "bfloat16" if _has_fast_bfloat16() else "float32"
    return wanted if wanted == "float32" else f"mixed_{wanted}"


@cache
def _has_fast_bfloat16() -> bool:
    """Whether TensorFlow runs on a CPU with matrix units for bfloat16 (AMX), which nearly halve the time of a step."""
    if keras.backend.backend() != "tensorflow":
        return False  # XLA does not use them for convolutions
    return machine.has_bfloat16_units()


def jit() -> bool:
    """Whether to compile with XLA: JAX needs it, torch has none, TensorFlow on a CPU is ten times slower with it."""
    return keras.backend.backend() == "jax" or (keras.backend.backend() == "tensorflow" and bool(gpus()))


def workers(wanted: int = TrainSettings().workers) -> int:
    """Number of workers that prepare batches: ``train.workers``, or the number that suits the machine.

    One thread keeps up with training on a CPU, and more would take cores from it. With a GPU, one core runs the
    training loop and all others can prepare batches.
    """
    return wanted or (max(1, machine.cores() - 1) if gpus() else 1)
