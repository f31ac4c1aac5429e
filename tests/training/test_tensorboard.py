"""TensorBoard logs are optional: without the package, one line names what to install."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from pipeline.config import UserError
from pipeline.training.tensorboard import SCALARS, TensorBoardLog

ROW = {"epoch": 3, "loss": 0.5, "score": 0.7, "learning_rate": 1e-3, "seconds": 9.0, "seconds_scoring": 1.0}


def test_without_the_package_one_line_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        TensorBoardLog(tmp_path, [])


def test_each_epoch_is_logged_and_logs_of_an_earlier_run_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    logged: list[tuple[str, str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            self.folder = folder

        def add_scalar(self, name: str, value: float, step: int) -> None:
            logged.append((self.folder, name, value, step))

        def flush(self) -> None:
            pass

    monkeypatch.setitem(sys.modules, "tensorboard", types.ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, "tensorboard.summary", types.SimpleNamespace(Writer=Writer))
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "old").write_text("of an earlier run")
    TensorBoardLog(logs, [ROW]).add(ROW)
    assert logged == [(str(logs), name, ROW[name], 3) for name in SCALARS]
    assert {"loss", "score", "learning_rate"} <= {*SCALARS} <= {*ROW} - {"epoch"}
    assert (logs / "old").exists()  # a resumed run continues them
    TensorBoardLog(logs, [])
    assert not (logs / "old").exists()
