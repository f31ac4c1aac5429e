"""Cores and GPUs: what this process may use, and how several processes share them. Needs no framework."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CORES = "PIPELINE_CORES"
"""Environment variable with the number of cores of a process that shares the machine with others."""
BFLOAT16_SINCE = 8.0
"""Compute capability of the first NVIDIA GPUs with units for bfloat16."""
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENBLAS_NUM_THREADS")
_JAX_MEMORY = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")
"""The old and the new name of one variable; JAX does not start where both are set."""


@dataclass(frozen=True)
class Resources:
    """The part of a machine that one process may use."""

    cores: int
    gpus: float | None = None
    """Number of GPUs; below 1, a fraction of one GPU's memory. 0 hides all GPUs, None changes nothing."""
    gpu: str = ""
    """The process's GPU, as in ``CUDA_VISIBLE_DEVICES``; empty where something else has selected it."""

    def apply(self) -> None:
        """Limit this process to these resources, by environment variables that frameworks read when imported.

        Variables for the GPU's memory that the user has set are kept.
        """
        for name in (*_THREADS, CORES):
            os.environ[name] = str(self.cores)
        if self.gpus == 0:
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        elif self.gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpu
        if self.gpus and self.gpus < 1:
            # By default, a framework reserves most of a GPU's memory when it starts.
            os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
            if not any(name in os.environ for name in _JAX_MEMORY):
                os.environ[_JAX_MEMORY[0]] = f"{0.9 * self.gpus:.3f}"


def cores() -> int:
    """Number of cores that this process may use: those of its ``Resources``, or those that the system allows."""
    limit = os.environ.get(CORES, "")
    if limit.isdigit():
        return max(1, int(limit))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """NVIDIA GPUs that this process may use, as named in ``CUDA_VISIBLE_DEVICES``.

    Those of ``CUDA_VISIBLE_DEVICES`` where it is set, otherwise those that ``nvidia-smi`` lists.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number in range(_count_gpus())]
    found: list[str] = []
    for name in visible.split(","):
        if not name.strip() or name.strip().startswith("-"):
            break  # like CUDA, which ignores everything after an invalid name
        found.append(name.strip())
    return found


def _count_gpus() -> int:
    return sum(line.startswith("GPU ") for line in _nvidia_smi("-L"))


def _nvidia_smi(*arguments: str) -> list[str]:
    """The lines that NVIDIA's tool prints; none where it is missing or fails."""
    try:
        ran = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return ran.stdout.splitlines() if ran.returncode == 0 else []


@cache
def gpu_precision() -> str:
    """The half precision that the GPUs of this machine compute fast: ``bfloat16``, or ``float16`` on older ones.

    NVIDIA's GPUs have units for bfloat16 since compute capability 8.0 (Ampere); a T4, as at Kaggle, has 7.5. Of several
    GPUs the oldest counts, so that all folds have the same precision. Where the capability is unknown, ``bfloat16``.
    """
    found = _nvidia_smi("--query-gpu=compute_cap", "--format=csv,noheader")
    capabilities = [float(line) for line in found if line.strip().replace(".", "", 1).isdigit()]
    return "float16" if capabilities and min(capabilities) < BFLOAT16_SINCE else "bfloat16"


def has_bfloat16_units() -> bool:
    """Whether the processor has matrix units for bfloat16 (AMX)."""
    return "amx_bf16" in _cpu_flags()


def has_avx2_alone() -> bool:
    """Whether the processor has vectors of 256 bits (AVX2) and none of 512 (AVX-512)."""
    flags = _cpu_flags()
    return "avx2" in flags and "avx512f" not in flags


def _cpu_flags() -> set[str]:
    """What the processor can do, by Linux' names; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").splitlines()
    except OSError:
        lines = []
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}


def cpu_name() -> str:
    """Name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), platform.processor() or platform.machine() or "unknown processor")


def divide(processes: int, cores: int, gpus: list[str]) -> list[Resources]:
    """Resources of each of several processes: an equal number of cores, and the GPUs in turn.

    Where there are fewer GPUs than processes, several processes share the memory of one.
    """
    each = max(1, cores // processes)
    if not gpus:
        return [Resources(each) for _ in range(processes)]
    assigned = [number % len(gpus) for number in range(processes)]
    return [Resources(each, 1 / assigned.count(index), gpus[index]) for index in assigned]
