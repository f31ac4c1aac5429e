"""What works, and which errors are explained, without a cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Chain
from tests.execution.ray.helpers import PROJECT


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", "--address", "auto"], "--address needs --executor ray"),
        (["train", "--store", "s3://x"], "--store needs --executor ray"),
        (["train", "--gpus-per-fold", "0"], "--gpus-per-fold needs --executor ray"),
        (["train", "--executor", "ray", "--jobs", "2"], "--cpus-per-fold"),
        (["train", "--executor", "ray", "--gpus-per-fold", "1.5"], "a share of one GPU"),
        (["train", "--executor", "slurm"], "slurm"),
        (["submit", "--experiment", "unet,kernel"], "split.by is coverage in kernel and depth in unet"),
        (["train", "--experiment", "unet,kernl"], "did you mean 'kernel'"),
        (["show", "x", "--experiment", "unet,kernel"], "one experiment at a time"),
    ],
)
def test_an_error_of_the_user_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
):
    from pipeline.cli.main import main

    status = main([*arguments, "--root", str(tmp_path)])
    error = capsys.readouterr().err
    assert status == 2
    assert reason in error
    assert error.count("error:") == 1
    assert not list(tmp_path.iterdir())


def test_make_passes_experiments_and_options_of_the_cluster():
    def make(*arguments: str) -> str:
        ran = subprocess.run(
            ["make", "-n", f"PYTHON3={sys.executable}", *arguments],
            cwd=PROJECT,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        return " ".join(ran.stdout.replace("\\", "").split())

    given = "EXPERIMENT=unet,kernel EXECUTOR=ray ADDRESS=auto STORE=s3://bucket/salt CPUS=2 GPUS=0.5"
    line = make("train", *given.split())
    for option in (
        '--experiment "$EXPERIMENT"',
        '--executor "$EXECUTOR" --address "$ADDRESS" --store "$STORE" --cpus-per-fold "$CPUS" --gpus-per-fold "$GPUS"',
    ):
        assert option in line
    assert "not cluster" in make("test")
    assert "-m cluster" in make("test-cluster")


@pytest.mark.parametrize("stage", ["train", "predict"])
def test_without_ray_a_line_says_what_to_type(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stage: str
):
    chain = Chain(root, capsys)
    assert chain("clean", stage) == 0
    monkeypatch.setitem(sys.modules, "ray", None)
    assert chain(stage, "--executor", "ray") == 2
    assert "make .venv/ready-cluster" in chain.error
    assert len(chain.error.splitlines()) == 1


def test_without_fsspec_a_line_says_what_to_type(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    chain = Chain(root, capsys)
    assert chain("clean", "train") == 0
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert chain("train", "--executor", "ray", "--store", "s3://bucket") == 2
    assert "a store needs the package fsspec" in chain.error


def test_what_is_done_needs_no_cluster(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    chain = Chain(root, capsys)
    for stage in ("train", "predict", "submit"):
        assert chain(stage, "--executor", "ray") == 0
        assert f"{stage}: up to date" in chain.printed
