"""Decoded tiles are opened, or the damaged file is named."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.config import UserError
from pipeline.data import tiles
from pipeline.data.files import TILE_FILES


def test_the_size_of_tables_is_limited(decoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(decoded, tmp_path / "tiles")
    (folder / "train.csv").write_text("," * 1_000_000 + "\n")
    monkeypatch.setattr(pd, "read_csv", lambda *_, **__: pytest.fail("pandas was given the table"))
    with pytest.raises(UserError, match=r"train\.csv: .*run the stage prepare again"):
        tiles.load(folder)


def test_loaded_arrays_are_mapped_read_only(decoded: Path) -> None:
    found = tiles.load(decoded)
    for array in (found.train_images, found.train_masks, found.test_images):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert array.dtype == np.uint8
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.train = pd.DataFrame()  # type: ignore[misc]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-5000] or b""),
    "another": lambda path: path.write_bytes(b"id,depth\nx,y\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", TILE_FILES)
def test_damaged_artifacts_are_named(decoded: Path, tmp_path: Path, name: str, damage: str) -> None:
    folder = shutil.copytree(decoded, tmp_path / "tiles")
    DAMAGES[damage](folder / name)
    with pytest.raises(UserError, match=rf"{name}: .*run the stage prepare again"):
        tiles.load(folder)


@pytest.mark.parametrize(
    "array", [np.zeros((3, 101, 101), np.uint8), np.zeros((4, 101, 100), np.uint8), np.zeros((4, 101, 101), np.float32)]
)
def test_arrays_that_do_not_fit_their_table_are_refused(decoded: Path, tmp_path: Path, array: np.ndarray) -> None:
    folder = shutil.copytree(decoded, tmp_path / "tiles")
    np.save(folder / "train_masks.npy", array)
    with pytest.raises(UserError, match=r"train_masks\.npy: is \w+ of shape"):
        tiles.load(folder)
