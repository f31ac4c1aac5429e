"""The stage ``download``: tiles of a folder, and what happens when they are corrected."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Chain


def test_a_corrected_tile_of_a_folder_arrives_once_the_copy_is_removed(root: Path, capsys: pytest.CaptureFixture[str]):
    chain, mine, copy = Chain(root, capsys), root / "mine", root / "data/mine/raw"
    shutil.copytree(root / "data/demo/raw", mine)
    (mine / "manifest.json").unlink()
    archive = ("--archive", str(mine))
    assert chain("download", *archive, dataset="mine") == 0
    corrected, other = sorted((mine / "train/images").iterdir())[:2]
    # A file of the same size: only its bytes and its time tell.
    corrected.write_bytes(other.read_bytes()[: corrected.stat().st_size].ljust(corrected.stat().st_size, b"\0"))
    before = (copy / "train/images" / corrected.name).read_bytes()
    assert chain("download", *archive, dataset="mine") == 2
    assert f"{mine} has changed since the dataset 'mine' was made from it" in chain.error
    assert "make clean-download DATASET=mine" in chain.error
    assert (copy / "train/images" / corrected.name).read_bytes() == before
    assert chain("clean", "download", dataset="mine") == 0
    assert chain("download", *archive, dataset="mine") == 0
    assert (copy / "train/images" / corrected.name).read_bytes() == corrected.read_bytes()


def test_a_manifest_of_before_has_no_hash_over_the_bytes(root: Path, capsys: pytest.CaptureFixture[str]):
    chain, mine = Chain(root, capsys), root / "mine"
    shutil.copytree(root / "data/demo/raw", mine)
    (mine / "manifest.json").unlink()
    archive = ("--archive", str(mine))
    assert chain("download", *archive, dataset="mine") == 0
    from pipeline.artifacts import manifest

    path = root / "data/mine/raw/manifest.json"
    read = manifest.read_manifest(path)
    assert read is not None
    del read.result["source"]["content"]
    read.result["seen"]["mtime_ns"] = 1
    manifest.write_manifest(path, read)
    assert "content" not in json.loads(path.read_text())["result"]["source"]
    assert chain("download", *archive, dataset="mine") == 0, chain.error
