"""GPU packages of the backends, on made-up lists of installed packages."""

from __future__ import annotations

from importlib import metadata

import pytest

from pipeline.system import gpu_packages

REQUIRES = ["numpy>=1", 'nvidia-cudnn-cu12<10.0,>=9.3; extra == "and-cuda"', 'nvidia-nccl-cu12; extra == "and-cuda"']


@pytest.mark.parametrize(
    ("backend", "installed", "library", "missing"),
    [
        ("tensorflow", {"tensorflow": "2.21.0"}, None, "tensorflow[and-cuda]==2.21.0"),
        ("tensorflow", {"tensorflow": "2.21.0", "nvidia-nccl-cu12": "2"}, None, "tensorflow[and-cuda]==2.21.0"),
        ("tensorflow", {"tensorflow": "2.21.0", "nvidia-cudnn-cu12": "9.5"}, None, ""),
        ("tensorflow", {"tensorflow": "2.21.0"}, "libcudnn.so.9", ""),
        ("jax", {"jax": "0.7.1", "jaxlib": "0.7.1"}, None, "jax[cuda12]==0.7.1"),
        ("jax", {"jax": "0.7.1", "jax-cuda12-plugin": "0.7.1"}, None, ""),
        ("jax", {"jax": "0.8.0", "jax-cuda13-plugin": "0.8.0"}, None, ""),
        ("torch", {"torch": "2.9.0+cpu"}, None, "torch"),
        ("torch", {"torch": "2.9.0"}, None, ""),
        ("jax", {}, None, ""),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, backend: str, installed: dict[str, str], library: str | None, missing: str
):
    def version(package: str) -> str:
        if package not in installed:
            raise metadata.PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda package: REQUIRES)
    monkeypatch.setattr(gpu_packages, "find_library", lambda name: library)
    assert gpu_packages.missing(backend) == missing


def test_the_extra_of_the_installed_tensorflow_is_known():
    assert any("cudnn" in name for name in gpu_packages._names_of_extra("tensorflow", "and-cuda"))
