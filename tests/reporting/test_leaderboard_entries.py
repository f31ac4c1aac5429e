"""Rows of the leaderboard, read from manifests."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts import read_manifest
from pipeline.reporting import leaderboard_entries
from tests.reporting.conftest import leave_manifest


def test_a_score_that_belongs_to_an_earlier_validation_is_not_shown(root: Path):
    path = root / "data/demo/experiments/good/cv.json"
    before = read_manifest(path)
    assert before is not None
    leave_manifest(path, "validate", "newer", before.result)
    good = next(entry.row for entry in leaderboard_entries.read(root) if entry.row["experiment"] == "good")
    assert good["private"] is None
    assert good["CV - test"] is None
