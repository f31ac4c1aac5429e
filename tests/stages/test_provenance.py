"""Where a page comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.artifacts import Artifact
from pipeline.stages import prepare, provenance
from tests.reporting.conftest import leave_manifest
from tests.stages.helpers import context


def test_a_page_has_times_commit_machine_and_fingerprints(tmp_path: Path):
    about = context(tmp_path)
    tiles = prepare.artifact(about.layout)
    missing = Artifact("train fold 0", "train", tmp_path, "none.json", ())
    leave_manifest(tiles.manifest_path, "prepare", "abcd", {"train": 4, "test": 2})
    found = provenance.describe(about, {"tiles": tiles, "split": missing}, [missing])
    assert (found["tiles"], found["split"]) == ("abcd", "unknown")
    assert "folds trained" not in found
    assert found["page drawn"].endswith(" UTC")
    assert "cores" in found["machine of this page"]
    assert found["code of this page"]


def test_times_of_manifests_are_shown_to_the_minute_in_utc():
    assert provenance._date("2026-11-26T02:40:39+02:00") == "2026-11-26 00:40 UTC"
    assert provenance._date("") == "unknown"


def test_the_commit_is_unknown_outside_a_checkout_and_where_git_does_not_work(monkeypatch: pytest.MonkeyPatch):
    def fails(*arguments: object, **options: object) -> None:
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(provenance.subprocess, "run", fails)
    assert provenance.git_commit() is None
    monkeypatch.setattr(provenance, "CHECKOUT", None)
    assert provenance.git_commit() is None
