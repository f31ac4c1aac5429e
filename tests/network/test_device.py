"""Devices and numbers of workers."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from pipeline.network import device
from pipeline.system import machine


def test_the_gpus_of_torch_are_listed(monkeypatch: pytest.MonkeyPatch):
    torch = SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 2))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(device.keras.backend, "backend", lambda: "torch")
    assert device.gpus() == ["cuda:0", "cuda:1"]


def test_workers_are_all_cores_but_one_with_a_gpu_and_one_without(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(machine.CORES, "16")
    monkeypatch.setattr(device, "gpus", lambda: [])
    assert [device.workers(setting) for setting in (0, 1, 3)] == [1, 1, 3]
    monkeypatch.setattr(device, "gpus", lambda: ["gpu:0"])
    assert [device.workers(setting) for setting in (0, 1, 3)] == [15, 1, 3]
    monkeypatch.setenv(machine.CORES, "1")
    assert device.workers(0) == 1


@pytest.mark.parametrize(
    ("gpus", "units", "found"),
    [
        (["gpu:0"], "float16", "mixed_float16"),
        (["gpu:0"], "bfloat16", "mixed_bfloat16"),
        ([], "float16", "float32"),
    ],
)
def test_automatic_precision_is_what_the_gpu_computes_fast(
    monkeypatch: pytest.MonkeyPatch, gpus: list[str], units: str, found: str
):
    monkeypatch.setattr(device, "gpus", lambda: gpus)
    monkeypatch.setattr(device, "_has_fast_bfloat16", lambda: False)
    monkeypatch.setattr(machine, "gpu_precision", lambda: units)
    assert device.precision("auto") == found
    assert device.precision("float32") == "float32"
    assert device.precision("bfloat16") == "mixed_bfloat16"
