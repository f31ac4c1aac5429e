"""What an archive contains, and whether it may have changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pipeline.data.sources.archive import fingerprint, quick_identity
from tests.data.sources.archive.helpers import TABLES, WANTED, write, zipped


def test_fingerprint_follows_content_and_quick_identity_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(WANTED))
    first, glance = fingerprint(path), quick_identity(path)
    assert first["kind"] == "zip"
    assert first["name"] == "a.zip"
    assert first["bytes"] == path.stat().st_size
    assert quick_identity(path) == glance
    os.utime(path, ns=(1, 1))
    assert fingerprint(path) == first
    assert quick_identity(path) != glance
    path.write_bytes(zipped({**WANTED, "train.csv": TABLES["train.csv"].replace(b"5", b"6")}))
    assert fingerprint(path) != first


def test_fingerprint_of_a_folder_follows_names_sizes_and_bytes(tmp_path: Path) -> None:
    given = write(tmp_path / "given", WANTED)
    first, glance = fingerprint(given), quick_identity(given)
    assert first["kind"] == "folder"
    assert (fingerprint(given), quick_identity(given)) == (first, glance)
    (given / "notes.txt").write_text("hello")
    assert fingerprint(given) == first
    shutil.copytree(given, tmp_path / "copy" / "given")
    assert fingerprint(tmp_path / "copy" / "given") == first
    for each in (given, *given.rglob("*")):
        os.utime(each, ns=(1, 1))
    glance = quick_identity(given)
    (given / "test/images/q2.png").write_bytes(b"x")
    assert fingerprint(given) != first
    assert quick_identity(given) != glance
    # A corrected file of the same size.
    first, glance = fingerprint(given), quick_identity(given)
    (given / "test/images/q2.png").write_bytes(b"y")
    assert fingerprint(given)["sha256"] == first["sha256"]
    assert fingerprint(given)["content"] != first["content"]
    assert quick_identity(given) != glance
