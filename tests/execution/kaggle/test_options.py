"""The options of kernels: which are refused, and how make passes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import main
from pipeline.execution.kaggle.names import MOST_FOLDS, Kernel, parse
from tests.conftest import Chain
from tests.execution.kaggle.helpers import Home
from tests.kaggle_kernels import Kernels

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", "--accelerator", "none"], "--accelerator needs --executor kaggle"),
        (["train", "--folds-per-kernel", "1"], "--folds-per-kernel needs --executor kaggle"),
        (["train", "--no-internet"], "--no-internet needs --executor kaggle"),
        (["train", "--executor", "kaggle", "--jobs", "2"], "JOBS (--jobs) is for the local executor"),
        (["train", "--executor", "kaggle", "--folds-per-kernel", "0"], "1 or more"),
        (["train", "--executor", "kaggle", "--store", "s3://x"], "--store needs --executor ray"),
    ],
)
def test_an_error_of_the_user_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
):
    assert main([*arguments, "--root", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("error:") == 1
    assert not list(tmp_path.iterdir())


def test_make_passes_the_options():
    ran = subprocess.run(
        ["make", "-n", f"PYTHON3={sys.executable}", "train", "predict", "EXECUTOR=kaggle", "ACCELERATOR=none",
         "FOLDS_PER_KERNEL=2", "NO_INTERNET=1"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    lines = " ".join(ran.stdout.replace("\\", "").split())
    wanted = '--executor "$EXECUTOR" --accelerator "$ACCELERATOR" --folds-per-kernel "$FOLDS_PER_KERNEL" --no-internet'
    assert lines.count(wanted) == 2
    assert "ready-cluster" not in lines


def test_tiles_of_ones_own_are_refused(home: Home, kernels: Kernels, capsys: pytest.CaptureFixture[str]):
    (home.root / "data/tgs").rename(home.root / "data/mine")
    chain = Chain(home.root, capsys)
    assert chain("train", "--executor", "kaggle", settings="split.folds=3", dataset="mine", experiment="unet") == 2
    assert "Kaggle has only the tiles of the competition" in chain.error
    assert not kernels.pushed


def test_pretrained_weights_are_refused_before_anything_is_made(
    home: Home, kernels: Kernels, capsys: pytest.CaptureFixture[str]
):
    chain, settings = Chain(home.root, capsys), "split.folds=3 train.pretrain=masked"
    assert chain("train", "--executor", "kaggle", settings=settings, dataset="tgs", experiment="unet") == 2
    assert chain.error.count("\n") == 1
    assert "the pretrained weights are on this machine, not at Kaggle; train here or on Ray" in chain.error
    assert not kernels.pushed
    assert not (home.root / "data/tgs/pretrained").exists()


def test_folds_that_no_kernels_name_could_hold_are_refused(
    home: Home, kernels: Kernels, capsys: pytest.CaptureFixture[str]
):
    chain, options = Chain(home.root, capsys), {"dataset": "tgs", "experiment": "unet"}
    highest = Kernel("somebody", "salt-unet-0123456789", (MOST_FOLDS - 1,), 1)
    assert parse(highest.ref, highest.prefix) == highest
    folds = f"0,{MOST_FOLDS}"
    assert chain("train", "--executor", "kaggle", "--folds", folds, settings="split.folds=100", **options) == 2
    assert f"fold {MOST_FOLDS}: the names of kernels have room for 64 folds, 0 to 63;" in chain.error
    assert not kernels.pushed


def test_the_plan_names_the_kernels(home: Home, kernels: Kernels, capsys: pytest.CaptureFixture[str]):
    kernels.refusals = [{"error": "no"}]
    chain = Chain(home.root, capsys)
    assert chain("train", "--executor", "kaggle", settings="split.folds=3", dataset="tgs", experiment="unet") == 2
    assert "kernels at Kaggle with NvidiaTeslaT4" in chain.printed
    assert "no estimate" in chain.printed
