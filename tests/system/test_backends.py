"""Which backend of Keras is used, on made-up machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.system import backends, gpu_packages

Machine = dict[str, bool]
"""Installed backends, and whether each one can use an NVIDIA GPU."""


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(backends, "_chosen", ("", ""))


def install(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda name: name in machine)
    monkeypatch.setattr(gpu_packages, "missing", lambda name: "" if machine[name] else f"{name}[cuda]")


@pytest.mark.parametrize(
    ("gpu", "machine", "name"),
    [
        ("", {"tensorflow": True, "jax": True}, "tensorflow"),
        ("nvidia0", {"tensorflow": True, "jax": True, "torch": True}, "jax"),
        ("dxg", {"tensorflow": True, "jax": True, "torch": True}, "jax"),
        ("nvidiactl", {"tensorflow": True, "jax": True}, "tensorflow"),
        ("nvidia0", {"tensorflow": True, "jax": False}, "tensorflow"),
        ("nvidia0", {"tensorflow": False, "jax": False}, "tensorflow"),
        ("nvidia0", {"tensorflow": False, "jax": False, "torch": True}, "torch"),
        ("", {"jax": False, "torch": False}, "jax"),
        ("", {"torch": False}, "torch"),
        ("", {}, "tensorflow"),
    ],
)
def test_the_backend_is_the_one_that_suits_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpu: str, machine: Machine, name: str
):
    install(monkeypatch, machine)
    (tmp_path / "dev").mkdir()
    if gpu:
        (tmp_path / "dev" / gpu).touch()
    chosen, why = backends.choose(tmp_path)
    assert chosen == name
    if gpu not in ("", "nvidiactl") and machine.get(chosen):
        assert why == "installed with support for the GPU"
    elif machine and "tensorflow" not in machine:
        assert why == "tensorflow is not installed"
    else:
        assert why == ""


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_hidden_gpu_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hidden: str):
    install(monkeypatch, {"tensorflow": True, "jax": True})
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert backends.choose(tmp_path)[0] == "tensorflow"


def test_the_user_has_the_last_word(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backends, "choose", lambda: ("jax", "installed with support for the GPU"))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert (backends.select(), backends.why()) == ("torch", "KERAS_BACKEND names it")
    monkeypatch.setenv("KERAS_BACKEND", "")
    assert (backends.select(), backends.why()) == ("jax", "installed with support for the GPU")
    assert backends.selected() == "jax"


def test_tensorflow_uses_onednn_unless_the_user_has_decided(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    backends.select()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    backends.select()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
