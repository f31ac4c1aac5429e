"""The backend of Keras: the one that the user names, otherwise the one that suits this machine.

Only the metadata of packages is read: no framework is imported.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from pipeline.system import gpu_packages

BACKENDS = ("tensorflow", "jax", "torch")
"""Backends of Keras that can train, the preferred one on a processor first."""
ON_GPU = ("jax", "tensorflow", "torch")
"""The same for an NVIDIA GPU: JAX compiles a whole training step into one program."""
VARIABLE = "KERAS_BACKEND"
"""Environment variable that names the backend; Keras reads it when it is imported."""
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""Environment variable for TensorFlow's operations of oneDNN; TensorFlow reads it when it is imported."""
_DEVICES = ("dev/nvidia[0-9]*", "dev/dxg")
"""Device files of NVIDIA's driver, on Linux and in WSL."""

_chosen: tuple[str, str] = ("", "")
"""The backend that ``select`` has chosen, and why."""


def select() -> str:
    """Set ``KERAS_BACKEND`` where the user has not; returns the name of the backend."""
    global _chosen
    use_onednn()
    if not os.environ.get(VARIABLE):
        _chosen = choose()
        os.environ[VARIABLE] = _chosen[0]
    return os.environ[VARIABLE]


def use_onednn() -> None:
    """Make TensorFlow use oneDNN on every processor, unless the user has decided. Call it before importing TensorFlow.

    By itself TensorFlow uses it only on processors with AVX-512 VNNI or newer units. On a processor with AVX2 alone a
    step of the experiment ``demo`` takes 1.9 times as long without it (``benchmarks/RESULTS.md``).
    """
    os.environ.setdefault(ONEDNN, "1")


def selected() -> str:
    """Name of the backend that a training of this process uses."""
    return os.environ.get(VARIABLE) or BACKENDS[0]


def why() -> str:
    """Why that backend: a few words, or an empty text for the default without a choice."""
    name, reason = _chosen
    if name == selected():
        return reason
    return "" if selected() == BACKENDS[0] else f"{VARIABLE} names it"


def choose(root: Path = Path("/")) -> tuple[str, str]:
    """The backend that suits this machine, and why.

    Args:
        root: of the file system, with the device files of GPUs.

    Returns:
        Where there is an NVIDIA GPU, the first backend of ``ON_GPU`` that can use it. Otherwise the first one of
        ``BACKENDS`` that is installed, with an empty text if that is the default.
    """
    if _may_have_gpu(root):
        for name in ON_GPU:
            if is_installed(name) and not gpu_packages.missing(name):
                return name, "installed with support for the GPU"
    for name in BACKENDS:
        if is_installed(name):
            return name, "" if name == BACKENDS[0] else f"{BACKENDS[0]} is not installed"
    return BACKENDS[0], ""


def is_installed(name: str) -> bool:
    """Whether the package of a backend is installed."""
    return importlib.util.find_spec(name) is not None


def _may_have_gpu(root: Path) -> bool:
    """Whether there is an NVIDIA GPU that ``CUDA_VISIBLE_DEVICES`` does not hide. Faster than ``machine.gpus``."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and (not visible.strip() or visible.strip().startswith("-")):
        return False
    return any(any(root.glob(pattern)) for pattern in _DEVICES)
