"""Whether a backend's GPU packages are installed, from the metadata of packages alone: no framework is imported."""

from __future__ import annotations

import re
from ctypes.util import find_library
from importlib import metadata


def missing(backend: str) -> str:
    """What pip has to install so that a backend can use an NVIDIA GPU.

    Args:
        backend: name of a Keras backend.

    Returns:
        A requirement such as ``tensorflow[and-cuda]==2.21.0``; empty where the backend can use a GPU, as far as the
        installed packages tell, and where the backend itself is not installed.
    """
    version = _version(backend)
    if not version:
        return ""
    if backend == "tensorflow":
        # The CUDA libraries may also be those of the system, for example in NVIDIA's own images.
        wheels = any(_version(name) for name in _names_of_extra(backend, "and-cuda") if "cudnn" in name)
        return "" if wheels or find_library("cudnn") else f"tensorflow[and-cuda]=={version}"
    if backend == "jax":
        return "" if any(_version(f"jax-cuda{major}-plugin") for major in (12, 13)) else f"jax[cuda12]=={version}"
    return "torch" if backend == "torch" and version.endswith("+cpu") else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _names_of_extra(package: str, extra: str) -> list[str]:
    """Names of the packages that an extra of an installed package asks for."""
    found = [each for each in metadata.requires(package) or () if re.search(rf"extra\s*==\s*['\"]{extra}['\"]", each)]
    return [re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in found]
