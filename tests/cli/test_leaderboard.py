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


def test_it_is_written_again_for_a_new_score_only(root: Path, capsys: pytest.CaptureFixture[str]):
    def times() -> list[int]:
        return [path.stat().st_mtime_ns for path in sorted((root / "submissions").glob("leaderboard.*"))]

    chain, before = Chain(root, capsys), times()
    (root / "submissions/demo/.demo.json.writing-host-1-0.json").write_text("another command writes")
    assert chain("submit") == 0, chain.error
    assert times() == before
    artifacts.update_result(root / "submissions/demo/demo.json", {"kaggle": {"ref": 1, "private": 0.9}})
    assert chain("submit") == 0, chain.error
    assert ",0.9," in (root / "submissions/leaderboard.csv").read_text()
    written = times()
    assert len({*written} - {*before}) == 3
    assert chain("submit") == 0
    assert times() == written


@pytest.mark.parametrize("suffix", [".csv", ".md", ".html"])
def test_a_leaderboard_that_is_not_whole_is_written_again(suffix: str, root: Path, capsys: pytest.CaptureFixture[str]):
    path = (root / "submissions/leaderboard").with_suffix(suffix)
    path.unlink()
    assert Chain(root, capsys)("report") == 0
    assert "demo" in path.read_text()
