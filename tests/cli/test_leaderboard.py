"""The leaderboard is written again whenever the results have changed, whatever their times."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline import artifacts
from tests.conftest import Chain


def test_older_results_that_are_copied_here_are_listed(root: Path, capsys: pytest.CaptureFixture[str]):
    chain, listed = Chain(root, capsys), root / "submissions/leaderboard.csv"
    experiments = root / "data/demo/experiments"
    shutil.copytree(experiments / "demo", experiments / "other")
    score = experiments / "other/cv.json"
    artifacts.update_result(score, {"experiment": "other"})
    for path in (score, experiments / "other/report.json"):
        os.utime(path, (1e9, 1e9))  # as unzip and rsync -a leave them
    assert chain("report") == 0, chain.error
    assert [line.split(",")[0] for line in listed.read_text().splitlines()[1:]] == ["demo", "other"]
    shutil.rmtree(experiments / "other")
    assert chain("report") == 0, chain.error
    assert [line.split(",")[0] for line in listed.read_text().splitlines()[1:]] == ["demo"]


@pytest.mark.parametrize("suffix", [".csv", ".md", ".html"])
def test_a_leaderboard_that_is_not_whole_is_written_again(suffix: str, root: Path, capsys: pytest.CaptureFixture[str]):
    path = (root / "submissions/leaderboard").with_suffix(suffix)
    path.unlink()
    assert Chain(root, capsys)("report") == 0
    assert "demo" in path.read_text()
