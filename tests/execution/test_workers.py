"""A pool's processes share the machine."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from pipeline.execution.workers import workers
from pipeline.system import machine

VARIABLES = ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_MEM_FRACTION", "OMP_NUM_THREADS")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "XLA_CLIENT_MEM_FRACTION", machine.CORES):
        monkeypatch.delenv(name, raising=False)


def variables(seconds: float) -> tuple[int, dict[str, str]]:
    time.sleep(seconds)  # so that the other processes are needed
    return os.getpid(), {name: os.environ[name] for name in VARIABLES if name in os.environ}


def in_each_process(processes: int, gpus: list[str]) -> list[dict[str, str]]:
    """The environment inside each process of a pool."""
    context = multiprocessing.get_context("spawn")
    with workers(context, machine.divide(processes, 2 * processes, gpus)) as pool:
        found: dict[int, dict[str, str]] = {}
        while len(found) < processes:
            found |= dict(pool.map(variables, [0.2] * processes))
    return sorted(found.values(), key=lambda each: each.get("CUDA_VISIBLE_DEVICES", ""))


def test_no_two_processes_get_the_same_gpu_where_there_are_enough():
    found = in_each_process(3, ["0", "2", "5"])
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == ["0", "2", "5"]
    assert all(each["OMP_NUM_THREADS"] == "2" for each in found)
    assert not any("XLA_PYTHON_CLIENT_MEM_FRACTION" in each for each in found)


def test_processes_of_one_gpu_share_its_memory_and_the_users_variables_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    found = in_each_process(3, ["0", "1"])
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == ["0", "0", "1"]
    assert [each.get("XLA_PYTHON_CLIENT_MEM_FRACTION") for each in found] == ["0.450", "0.450", None]
    assert all(each["TF_FORCE_GPU_ALLOW_GROWTH"] == "false" for each in found)
