"""Decoded tiles are what the files contain, and every wrong file is named with its tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.data import decode, decode_files, tiles
from pipeline.data.decode import decode_tiles
from pipeline.data.files import TILE_FILES
from tests.data.helpers import BAD_IMAGES, Raw, png


def test_decoded_tiles_are_what_the_files_contain(raw: Raw) -> None:
    steps: list[tuple[int, int]] = []
    summary = decode_tiles(raw.folder, raw.out, lambda done, total: steps.append((done, total)))
    found = tiles.load(raw.out)
    assert sorted(path.name for path in raw.out.iterdir()) == sorted(TILE_FILES)
    assert steps[-1] == (10, 10)
    assert found.train["id"].tolist() == ["a", "b", "c", "d"]
    assert found.test["id"].tolist() == ["z", "y"]
    assert found.train["depth"].tolist() == [100, 200, 300, 400]
    assert found.test["depth"].tolist() == [500, 600]
    np.testing.assert_array_equal(found.train_images, np.stack([raw.images[name] for name in "abcd"]))
    np.testing.assert_array_equal(found.train_masks, np.stack([raw.masks[name] for name in "abcd"]))
    np.testing.assert_array_equal(found.test_images, np.stack([raw.tests[name] for name in "zy"]))
    assert found.train["coverage"].tolist() == [raw.masks[name].mean() for name in "abcd"]
    assert found.train["constant"].tolist() == [False, False, False, True]
    assert found.train["vertical"].tolist() == [False, False, True, False]
    assert list(found.train) == ["id", "depth", "coverage", "constant", "vertical"]
    assert list(found.test) == ["id", "depth", "constant"]
    assert summary == {
        "train": 4,
        "test": 2,
        "empty": 0.25,
        "coverage": pytest.approx(np.mean([mask.mean() for mask in raw.masks.values()])),
        "constant": 1,
        "vertical": 1,
    }


def test_many_tiles_keep_their_order_over_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Raw(tmp_path)
    monkeypatch.setattr(decode_files, "FILES_AT_ONCE", 3)
    monkeypatch.setattr(decode_files.machine, "cores", lambda: 4)
    names = [f"q{number:03}" for number in np.random.default_rng(1).permutation(100)]
    for number, name in enumerate(names):
        raw.put(f"test/images/{name}.png", png(np.full((101, 101), number, np.uint8)))
    raw.put("sample_submission.csv", "id,rle_mask\nz,\ny,\n" + "".join(f"{name},\n" for name in names))
    raw.put("depths.csv", "id,z\n" + "".join(f"{name},1\n" for name in [*"abcdyz", *names]))
    raw.decode()
    found = tiles.load(raw.out)
    assert found.test["id"].tolist() == ["z", "y", *names]
    assert found.test_images[2:, 0, 0].tolist() == list(range(100))


def test_ids_that_look_like_something_else_stay_as_they_are(raw: Raw) -> None:
    for old, new in (("a", "NA"), ("b", "007"), ("c", "1e5")):
        for part in ("images", "masks"):
            (raw.folder / f"train/{part}/{old}.png").rename(raw.folder / f"train/{part}/{new}.png")
        for table in ("train.csv", "depths.csv"):
            raw.replace(table, f"\n{old},", f"\n{new},")
    raw.decode()
    assert tiles.load(raw.out).train["id"].tolist() == ["007", "1e5", "NA", "d"]


@pytest.mark.parametrize("name", ["train/images/c", "train/masks/c", "test/images/y"])
def test_a_bad_file_is_named(raw: Raw, name: str) -> None:
    raw.put(f"{name}.png", BAD_IMAGES["cut off"])
    line = raw.error()
    assert f"{name[-1]}: {name}.png is cut off" in line
    # The encoding is not compared with a mask that was not read.
    assert "rle_mask" not in line


@pytest.mark.parametrize("name", ["train/images/a", "train/masks/a", "test/images/y"])
def test_a_missing_tile_is_named(raw: Raw, name: str) -> None:
    (raw.folder / f"{name}.png").unlink()
    part, tile = name.rsplit("/", 1)
    assert f"{tile}: is listed in" in (line := raw.error())
    assert f"but {part} has no such tile" in line


def test_masks_of_0_and_1_are_compared_with_the_encodings(raw: Raw) -> None:
    for name, mask in raw.masks.items():
        raw.put(f"train/masks/{name}.png", png(mask))
    raw.decode()
    np.testing.assert_array_equal(tiles.load(raw.out).train_masks, np.stack([raw.masks[name] for name in "abcd"]))
    raw.put("train/masks/b.png", png(raw.masks["a"]))
    assert "b: its rle_mask in train.csv differs from its mask" in raw.error()


def test_ids_with_a_suffix_are_named_before_their_depths(raw: Raw) -> None:
    for old in "abcd":
        raw.replace("train.csv", f"\n{old},", f"\n{old}.png,")
    first = "a.png: is listed in train.csv, but train/images has no such tile (its file is a.png: write a); b.png: is"
    assert first in raw.error()


def test_ids_that_lost_their_zeros_are_named_before_their_depths(raw: Raw) -> None:
    for number, old in enumerate("abcd"):
        for part in ("images", "masks"):
            (raw.folder / f"train/{part}/{old}.png").rename(raw.folder / f"train/{part}/00{number}.png")
        raw.replace("train.csv", f"\n{old},", f"\n{number},")
    first = "0: is listed in train.csv, but train/images has no such tile (its file is 000.png: write 000); 1: is"
    assert first in raw.error()


def test_depths_of_ids_that_are_spelled_otherwise_are_named(raw: Raw) -> None:
    raw.replace("depths.csv", "\na,", "\na.png,")
    assert "a: has no depth in depths.csv (it lists a.png: write one id in all tables) - correct" in raw.error()


def test_all_errors_are_reported_at_once_and_the_first_ones_named(raw: Raw) -> None:
    raw.replace("depths.csv", "\na,100", "\na,-1")
    raw.replace("train.csv", "\nb,\n", "\nb,1 5\n")
    for name in "cd":
        raw.put(f"train/images/{name}.png", b"")
    raw.put("test/images/y.png", b"")
    line = raw.error()
    assert "a: has the depth -1" in line
    assert "c: train/images/c.png" in line
    assert "; and 2 more" in line


def test_a_full_disk_is_reported_before_anything_is_written(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert "free some space" in raw.error()
    assert not list(raw.out.iterdir())
