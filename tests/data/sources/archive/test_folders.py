"""Links in a folder, and folders that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.data.sources.archive import folders, limits, unpack
from tests.data.sources.archive.helpers import WANTED, read, write


@pytest.mark.parametrize("name", ["train.csv", "train/images/t1.png", "train"])
def test_a_link_out_of_a_folder_is_refused(tmp_path: Path, refused: Callable[..., str], name: str) -> None:
    given = write(tmp_path / "given", WANTED)
    (given / name).rename(tmp_path / "outside")
    (given / name).symlink_to(tmp_path / "outside")
    line = refused(given)
    assert name in line
    assert "leads outside" in line


def test_links_inside_a_folder_are_followed_and_loops_end(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = write(tmp_path / "given", WANTED)
    (given / "train.csv").rename(given / "labels.csv")
    (given / "train.csv").symlink_to("labels.csv")
    (given / "another name of train").symlink_to(given / "train")
    (given / "loop").symlink_to(given)
    monkeypatch.setattr(limits, "MAX_MEMBERS", 40)  # which going round in circles would exceed
    unpack(given, out)
    assert read(out) == WANTED


def test_a_refusal_of_the_system_is_explained(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = write(tmp_path / "given", WANTED)

    def scandir(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(folders.os, "scandir", scandir)
    line = refused(given)
    assert str(given) in line
    assert "Permission denied" in line
