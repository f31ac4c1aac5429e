"""The stage that finds the sections, and the folds that keep them together, on a small survey."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.cli.main import main

SURVEY = "survey.train=80 survey.test=20 split.folds=2"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mosaic")
    assert run(folder, "split", "split.group=mosaic") == 0
    return folder


def run(root: Path, command: str, settings: str = "") -> int:
    return main([command, "--dataset", "demo", "--root", str(root), "--set", f"{SURVEY} {settings}".strip()])


def test_neighbours_are_in_one_fold(root: Path):
    places = pd.read_csv(root / "data/demo/mosaic/sections.csv", dtype={"id": str})
    folds = pd.read_csv(root / "data/demo/folds/depth-2-seed0-mosaic/folds.csv", dtype={"id": str})
    assert len(places) == 100
    together = folds.merge(places, on="id").groupby("section")["fold"].agg(["nunique", "size"])
    assert (together["size"] > 1).any(), "a section with two labelled tiles"
    assert (together["nunique"] == 1).all()
    pairs = pd.read_csv(root / "data/demo/mosaic/pairs.csv", dtype={"first": str, "second": str})
    assert list(pairs) == ["first", "second", "axis", "ratio", "used"]
    section = places.set_index("id")["section"]
    used = pairs[pairs["used"] == 1]
    assert (section[used["first"]].to_numpy() == section[used["second"]].to_numpy()).all()
    assert pairs["ratio"].between(0, 0.5).all()


def test_what_is_done_is_skipped_and_the_plain_split_needs_no_sections(root: Path, capsys: pytest.CaptureFixture[str]):
    assert run(root, "mosaic") == 0
    assert "mosaic: up to date" in capsys.readouterr().out
    assert run(root, "split", "split.group=mosaic") == 0
    assert "split: up to date" in capsys.readouterr().out
    assert run(root, "status") == 0
    assert "  mosaic  " not in capsys.readouterr().out
    assert run(root, "status", "split.group=mosaic") == 0
    assert "mosaic           done" in capsys.readouterr().out


def test_clean_removes_the_sections(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["clean", "mosaic", "--dataset", "demo", "--root", str(root), "--set", SURVEY]) == 0
    assert not (root / "data/demo/mosaic").exists()
    assert (root / "data/demo/tiles").exists()
    assert run(root, "mosaic") == 0
    assert "sections of two tiles or more" in capsys.readouterr().out
