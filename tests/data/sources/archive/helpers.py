"""Made-up archives of the competition."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

Files = dict[str, bytes]

TABLES: Files = {
    "train.csv": b"id,rle_mask\nt1,1 5\nt2,\n",
    "depths.csv": b"id,z\nt1,100\nt2,200\nq1,300\n",
    "sample_submission.csv": b"id,rle_mask\nq1,1 1\n",
}
TRAIN: Files = {
    "images/t1.png": b"image one",
    "images/t2.png": b"image two",
    "masks/t1.png": b"mask one",
    "masks/t2.png": b"mask two",
}
TEST: Files = {"images/q1.png": b"test image"}
WANTED: Files = {
    **TABLES,
    **{f"train/{name}": content for name, content in TRAIN.items()},
    **{f"test/{name}": content for name, content in TEST.items()},
}


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files, as bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return stream.getvalue()


def flat() -> Files:
    """The first arrangement: tables beside train.zip and test.zip."""
    return {**TABLES, "train.zip": zipped(TRAIN), "test.zip": zipped(TEST)}


def under(folder: str, files: Files) -> Files:
    return {f"{folder}/{name}": content for name, content in files.items()}


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
