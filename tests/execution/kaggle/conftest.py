"""A user with a root folder that has tiles and folds, and a server with kernels that seem to train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.execution.kaggle.helpers import Home
from tests.kaggle_kernels import Kernels, Run, results
from tests.kaggle_server import Kaggle


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kaggle]:
    """The server; this process is its user."""
    server = Kaggle()
    for name, value in {**server.environment(tmp_path / "home"), "PIPELINE_POLL": "0.01"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KAGGLE_API_TOKEN", raising=False)
    yield server
    server.close()


@pytest.fixture
def far(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Home:
    """What kernels make."""
    return Home(tmp_path / "far", capsys).prepare().finish()


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Home:
    return Home(tmp_path / "root", capsys).prepare()


@pytest.fixture
def kernels(kaggle: Kaggle, far: Home) -> Kernels:
    """Kernels whose output is that of a finished chain."""

    def work(run: Run) -> None:
        run.statuses = ["QUEUED", "RUNNING", "COMPLETE"]
        run.lines = [f"fold {fold}  epoch   1/48  loss 0.5" for fold in run.job["folds"]]
        run.files = results(far.root, run, *run.job["folds"])

    return Kernels(kaggle, work)
