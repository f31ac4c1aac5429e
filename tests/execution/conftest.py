"""Folds of an experiment that need no training, and a clock that a test moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.artifacts import Freshness, Layout
from pipeline.config import load
from pipeline.data.files import TRAIN_TABLE
from pipeline.execution import first_estimate, progress_page
from pipeline.stages import Context, download, prepare, split
from pipeline.system import progress
from tests.hollow import RESULTS, fill
from tests.system.test_progress import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (first_estimate, progress_page, progress):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Two folds of four epochs on prepared tiles, one of four of which is empty."""
    settings = load("demo", ["split.folds=2", "train.epochs=4", "submit.message=<b>bold</b>"])
    layout = Layout(tmp_path, "demo", "demo", settings)
    fill(download.artifact(layout))
    tiles = prepare.artifact(layout)
    with artifacts.updating(tiles) as folder:
        for name in tiles.outputs:
            (folder / name).write_bytes(b"content")
        (folder / TRAIN_TABLE).write_text("id,coverage\na,0.0\nb,0.5\nc,0.1\nd,1.0\n")
        artifacts.commit(tiles, RESULTS["prepare"], 0.0)
    fill(split.artifact(layout))
    return Context(layout, Freshness(), (0, 1))
