"""This process's share of the machine: cores, GPUs, and a GPU's memory. Set before a framework is imported."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

CORES = "PIPELINE_CORES"
"""Variable of a process's environment: the cores that are its share, where it has the machine not to itself."""
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENBLAS_NUM_THREADS")
_JAX_MEMORY = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")
"""The old and the new name of one variable; JAX refuses to start where both are set."""


@dataclass(frozen=True)
class Share:
    """What a process gets of a machine."""

    cores: int
    gpus: float | None = None
    """GPUs, below 1 a share of one; 0 hides those that there are, None leaves them as they are."""
    gpu: str = ""
    """The GPU of its own, as ``CUDA_VISIBLE_DEVICES`` names it; empty where somebody else has chosen it."""

    def take(self) -> None:
        """Keep this process to its share. What a user has set of a GPU's memory holds."""
        for name in _THREADS:
            os.environ[name] = str(self.cores)
        os.environ[CORES] = str(self.cores)
        if self.gpus == 0:
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        elif self.gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpu
        if self.gpus and self.gpus < 1:
            # Frameworks take most of a GPU's memory at their start unless told otherwise.
            os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
            if not any(name in os.environ for name in _JAX_MEMORY):
                os.environ[_JAX_MEMORY[0]] = f"{0.9 * self.gpus:.3f}"


def cores() -> int:
    """Cores of this process's share; all that it may run on where nobody has shared the machine out."""
    told = os.environ.get(CORES, "")
    if told.isdigit():
        return max(1, int(told))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """NVIDIA GPUs that a process may use, as ``CUDA_VISIBLE_DEVICES`` names them; asks no framework.

    They are those of ``CUDA_VISIBLE_DEVICES`` where that is set, else those that ``nvidia-smi`` lists, else none.
    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None:
        return [str(number) for number in range(_listed())]
    found: list[str] = []
    for name in told.split(","):
        if not name.strip() or name.strip().startswith("-"):
            break  # as CUDA reads it: what comes after an impossible name does not count
        found.append(name.strip())
    return found


def _listed() -> int:
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in told.stdout.splitlines()) if told.returncode == 0 else 0


def shares(processes: int, cores: int, gpus: list[str]) -> list[Share]:
    """What each of some processes gets: an equal part of the cores, and the GPUs in turn.

    A GPU that comes to several processes is shared between them.
    """
    each = max(1, cores // processes)
    if not gpus:
        return [Share(each) for _ in range(processes)]
    at = [number % len(gpus) for number in range(processes)]
    return [Share(each, 1 / at.count(gpu), gpus[gpu]) for gpu in at]
