"""A command that is killed with SIGKILL in the middle of a call: the same command again loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.execution.kaggle.helpers import Home
from tests.kaggle_kernels import STORAGE, STREAM, Kernels
from tests.kaggle_server import Kaggle

PROJECT = Path(__file__).parents[3]
TRAIN = """
import sys
from pathlib import Path
from pipeline.artifacts import Layout
from pipeline.config import KaggleSettings, load
from pipeline.execution.kaggle import folds
from pipeline.stages import train
layout = Layout(Path(sys.argv[1]), "tgs", "unet", load("unet", ["split.folds=3"]))
folds.train([train.task(layout, fold) for fold in layout.folds], KaggleSettings())
"""


@pytest.mark.faults
@pytest.mark.parametrize(
    "call", ["ListKernels", "SaveKernel", "GetKernelSessionStatus", STREAM, "ListKernelSessionOutput", STORAGE]
)
def test_a_killed_command_goes_on(home: Home, kernels: Kernels, kaggle: Kaggle, call: str):
    kaggle.stall[call] = 10
    command = subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(home.root)],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while call not in kaggle.calls:
        assert command.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    command.kill()
    command.wait()
    kaggle.stall.clear()
    assert home.done() == []
    home.train()
    assert home.done() == [0, 1, 2]
    assert len(kernels.pushed) == 1
    assert not list(home.root.rglob("*arriving*"))
