"""Experiments of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import experiment_files


@pytest.fixture
def experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of ``pipeline/experiments``."""
    monkeypatch.setattr(experiment_files, "EXPERIMENTS", tmp_path)
    return tmp_path
