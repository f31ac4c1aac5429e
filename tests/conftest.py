"""What the tests share. Everything runs on made-up tiles in temporary folders."""

from __future__ import annotations

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

import numpy as np
import pytest

from pipeline import __main__ as command_line

TINY = (
    "survey.train=40 survey.test=12 split.folds=2 split.bins=4 network.width=4 network.levels=1 network.blocks=1 "
    "network.residual=false train.epochs=2 train.batch=8"
)
"""Settings of a run that takes seconds."""


class Chain:
    """The command line on a root folder of its own, in this process."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys
        self.printed = ""
        self.error = ""

    def __call__(self, *arguments: str, settings: str = TINY, dataset: str = "demo", experiment: str = "demo") -> int:
        """Run one command; what it printed is in ``printed`` and ``error``."""
        self._capsys.readouterr()
        common = ["--root", str(self.root), "--dataset", dataset, "--experiment", experiment]
        try:
            status = command_line.main([*arguments, *common, *(["--set", settings] if settings else [])])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        captured = self._capsys.readouterr()
        self.printed, self.error = captured.out, captured.err
        return status


@pytest.fixture
def chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Chain:
    """The command line on an empty root folder."""
    return Chain(tmp_path, capsys)


def blobs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Made-up tiles that a small network learns at once: bright discs on noise; every third tile has none.

    Returns:
        Images and masks, (count, 101, 101) uint8.
    """
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:101, :101]
    masks = np.zeros((count, 101, 101), np.uint8)
    for index in range(count):
        if index % 3:
            row, column, radius = draw.integers(20, 80), draw.integers(20, 80), draw.integers(15, 35)
            masks[index] = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    noise = draw.normal(90, 15, masks.shape)
    return np.clip(noise + 80 * masks, 0, 255).astype(np.uint8), masks
