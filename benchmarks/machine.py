"""The machine that a figure was measured on, and how fast it multiplies matrices."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.system.machine import cpu_name, has_bfloat16_units


def described() -> dict[str, str]:
    """Processor, memory, system and versions, as plain text."""
    packages = ["numpy", "keras", "tensorflow", "jax", "torch", "opencv-python-headless", "albumentations"]
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version}" for name, version in found.items()),
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        flags = next(line for line in lines if line.startswith("flags")).split()
    except (OSError, StopIteration):
        return cpu_name()
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{cpu_name()} ({', '.join(known)})"


def cpu_kind() -> str:
    """What the results of a processor like this one are kept as: ``cpu`` with bfloat16 units, else ``cpu-float32``."""
    return "cpu" if has_bfloat16_units() else "cpu-float32"


def figure_path(subject: str, kind: str | None = None) -> Path:
    """The file of a subject's figure.

    Args:
        subject: for example ``roofline``.
        kind: of the processor, see ``cpu_kind``; None is this one.
    """
    return Path(__file__).parent / f"{subject}{(kind or cpu_kind()).removeprefix('cpu')}.png"


def limit() -> str:
    """The precision whose matrix products are the processor's limit: bfloat16 where it has units for it."""
    return "bfloat16" if has_bfloat16_units() else "float32"


def precisions() -> tuple[str, ...]:
    """The precisions that networks are measured in: bfloat16 too where the processor has units for it."""
    return ("float32",) if limit() == "float32" else ("float32", limit())


def matmul_peak(multiply: Callable[[int], object], sizes: tuple[int, ...] = (2048, 4096), runs: int = 4) -> float:
    """Floating-point operations a second of the best of some square matrix products.

    Args:
        multiply: runs one product of two matrices of this side and waits for it.
        sizes: sides to try.
        runs: of each size.
    """
    best = 0.0
    for size in sizes:
        multiply(size)
        for _ in range(runs):
            started = time.perf_counter()
            multiply(size)
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def backend_matmul(dtype: str = "float32") -> Callable[[int], object]:
    """A product of two matrices in the Keras backend, on its device."""
    import keras

    made: dict[int, object] = {}
    if keras.backend.backend() == "jax":
        import jax

        product = jax.jit(lambda a: a @ a)
    else:
        product = lambda a: keras.ops.matmul(a, a)  # noqa: E731

    def multiply(size: int) -> None:
        if size not in made:
            draw = np.random.default_rng(0).random((size, size), dtype=np.float32)
            made[size] = keras.ops.cast(keras.ops.convert_to_tensor(draw), dtype)
        # Reading one corner of the result waits for all of it.
        np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(product(made[size])[:1, :1], "float32")))

    return multiply
