"""Cores and GPUs of a process, counted without a framework; a fake nvidia-smi lists the GPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.system import machine
from pipeline.system.machine import Resources

VARIABLES = ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_MEM_FRACTION", "OMP_NUM_THREADS")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "XLA_CLIENT_MEM_FRACTION", machine.CORES):
        monkeypatch.delenv(name, raising=False)


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, status: int = 0) -> None:
    lines = [f"GPU {number}: NVIDIA A100-SXM4-80GB (UUID: GPU-00{number})" for number in range(gpus)]
    text = "\n".join(["#!/bin/sh", *(f"echo '{line}'" for line in lines), f"exit {status}"])
    (folder / "nvidia-smi").write_text(text + "\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_gpus_are_those_that_nvidia_smi_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nvidia_smi(tmp_path, monkeypatch, 3)
    assert machine.gpus() == ["0", "1", "2"]
    nvidia_smi(tmp_path, monkeypatch, 3, status=9)  # a driver that does not answer
    assert machine.gpus() == []


def test_a_machine_without_nvidia_smi_has_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpus() == []


@pytest.mark.parametrize(
    ("printed", "precision"),
    [
        ("9.0", "bfloat16"),
        ("8.0", "bfloat16"),
        ("7.5", "float16"),
        ("8.6\n7.5", "float16"),  # all folds have the same precision
        ("12.0", "bfloat16"),
        ("[N/A]", "bfloat16"),
        ("Field compute_cap is not a valid field to query.", "bfloat16"),  # an old driver
    ],
)
def test_the_precision_is_one_that_every_gpu_computes_fast(
    printed: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lines = "\n".join(f"echo '{line}'" for line in printed.splitlines())
    (tmp_path / "nvidia-smi").write_text(f'#!/bin/sh\ntest "$1" = --query-gpu=compute_cap || exit 2\n{lines}\n')
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    machine.gpu_precision.cache_clear()
    assert machine.gpu_precision() == precision
    machine.gpu_precision.cache_clear()


def test_without_nvidia_smi_the_precision_is_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    machine.gpu_precision.cache_clear()
    assert machine.gpu_precision() == "bfloat16"
    machine.gpu_precision.cache_clear()


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("1,3", ["1", "3"]),
        (" 2 ", ["2"]),
        ("GPU-8932f937,MIG-7", ["GPU-8932f937", "MIG-7"]),
        ("", []),
        ("-1", []),
        ("0,-1,2", ["0"]),
    ],
)
def test_cuda_visible_devices_limits_the_gpus(
    visible: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    nvidia_smi(tmp_path, monkeypatch, 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.gpus() == found


def test_each_process_gets_one_gpu_or_a_fraction_of_one():
    assert machine.divide(2, 8, []) == [Resources(4), Resources(4)]
    assert machine.divide(2, 16, ["4", "7"]) == [Resources(8, 1, "4"), Resources(8, 1, "7")]
    assert machine.divide(3, 2, ["0", "1"]) == [Resources(1, 0.5, "0"), Resources(1, 1, "1"), Resources(1, 0.5, "0")]
    assert machine.divide(1, 16, ["0", "1"]) == [Resources(16, 1, "0")]


def applied(resources: Resources, monkeypatch: pytest.MonkeyPatch, **before: str) -> dict[str, str]:
    monkeypatch.setattr(os, "environ", dict(before))
    resources.apply()
    return dict(os.environ)


def test_zero_gpus_hides_all_and_a_gpu_selected_elsewhere_is_kept(monkeypatch: pytest.MonkeyPatch):
    assert applied(Resources(1, 0), monkeypatch, CUDA_VISIBLE_DEVICES="3")["CUDA_VISIBLE_DEVICES"] == "-1"
    assert applied(Resources(1, 1), monkeypatch, CUDA_VISIBLE_DEVICES="3")["CUDA_VISIBLE_DEVICES"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in applied(Resources(1), monkeypatch)


@pytest.mark.parametrize("name", ["XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION"])
def test_the_users_fraction_of_memory_is_kept_under_either_name(monkeypatch: pytest.MonkeyPatch, name: str):
    found = applied(Resources(1, 0.5, "0"), monkeypatch, **{name: ".2"})
    assert {key: value for key, value in found.items() if "FRACTION" in key} == {name: ".2"}
    assert found["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_the_number_of_cores_is_that_of_the_resources(monkeypatch: pytest.MonkeyPatch):
    assert machine.cores() >= 1
    assert applied(Resources(3), monkeypatch)[machine.CORES] == "3"
    assert machine.cores() == 3


def test_the_processor_has_a_name():
    assert machine.cpu_name()
