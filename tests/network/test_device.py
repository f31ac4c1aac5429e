"""What suits the machine."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from pipeline.network import device
from pipeline.system import machine


def test_torch_tells_its_gpus(monkeypatch: pytest.MonkeyPatch):
    there = SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 2))
    monkeypatch.setitem(sys.modules, "torch", there)
    monkeypatch.setattr(device.keras.backend, "backend", lambda: "torch")
    assert device.gpus() == ["cuda:0", "cuda:1"]


def test_a_gpu_is_fed_by_all_cores_but_one_and_a_processor_by_one_thread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(machine.CORES, "16")
    monkeypatch.setattr(device, "gpus", lambda: [])
    assert [device.workers(wanted) for wanted in (0, 1, 3)] == [1, 1, 3]
    monkeypatch.setattr(device, "gpus", lambda: ["gpu:0"])
    assert [device.workers(wanted) for wanted in (0, 1, 3)] == [15, 1, 3]
    monkeypatch.setenv(machine.CORES, "1")
    assert device.workers(0) == 1
