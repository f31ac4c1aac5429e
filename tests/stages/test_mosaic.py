"""The stage that finds the sections, and the folds that keep them together, on a small survey."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from pipeline import artifacts
from pipeline.artifacts import Freshness, Layout
from pipeline.artifacts.manifest import write_manifest
from pipeline.cli.main import main
from pipeline.config import load
from pipeline.data import tiles
from pipeline.data.tiles import Tiles
from pipeline.stages import Context, download, mosaic, prepare
from tests.data.test_mosaic import BELOW, images
from tests.hollow import fill

__all__ = ["images"]
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


def test_sections_of_before_the_picture_existed_are_done(root: Path, capsys: pytest.CaptureFixture[str]):
    settings = load("demo", [*SURVEY.split(), "split.group=mosaic"])
    found = mosaic.artifact(Layout(root, "demo", "demo", settings))
    manifest = artifacts.read_manifest(found.manifest_path)
    assert manifest is not None
    assert {*manifest.extras} == {"sections.png"}
    picture = (found.folder / "sections.png").read_bytes()
    try:
        (found.folder / "sections.png").unlink()
        write_manifest(found.manifest_path, msgspec.structs.replace(manifest, extras={}))
        assert run(root, "split", "split.group=mosaic") == 0
        assert "split: up to date" in capsys.readouterr().out
    finally:
        (found.folder / "sections.png").write_bytes(picture)
        write_manifest(found.manifest_path, manifest)


def test_copies_are_in_one_section_and_have_the_neighbours_of_their_tile(
    tmp_path: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    grey = np.full((2, *images.shape[1:]), 9, np.uint8)
    every = np.concatenate([images, images[4:5], grey, images[10:11]])
    ids = [f"t{index:02}" for index in range(len(every))]
    train, test = (pd.DataFrame({"id": each}) for each in (ids[:-1], ids[-1:]))
    store = Tiles(every[:-1], np.zeros_like(every[:-1]), every[-1:], train, test)
    monkeypatch.setattr(tiles, "load", lambda folder: store)
    layout = Layout(tmp_path, "demo", "demo", load("demo", SURVEY.split()))
    for stage in (download, prepare):
        fill(stage.artifact(layout))
    mosaic.make(Context(layout, Freshness(), (0, 1)))
    places = pd.read_csv(layout.mosaic_folder / "sections.csv", dtype={"id": str})
    assert places["section"].tolist() == [0] * 13 + [1, 2, 0]
    for copy, tile in ((12, 4), (15, 10)):
        assert places.loc[copy, ["row", "column"]].tolist() == places.loc[tile, ["row", "column"]].tolist()
    pairs = pd.read_csv(layout.mosaic_folder / "pairs.csv", dtype={"first": str, "second": str})
    vertical = pairs.loc[pairs["axis"] == "vertical", ["first", "second"]]
    assert {(int(first[1:]), int(second[1:])) for first, second in vertical.to_numpy()} == BELOW


def test_clean_removes_the_sections(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["clean", "mosaic", "--dataset", "demo", "--root", str(root), "--set", SURVEY]) == 0
    assert not (root / "data/demo/mosaic").exists()
    assert (root / "data/demo/tiles").exists()
    assert run(root, "mosaic") == 0
    printed = capsys.readouterr().out
    assert "sections of two tiles or more" in printed
    assert str(root / "data/demo/mosaic/sections.png") in printed
