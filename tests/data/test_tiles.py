"""Decoded tiles are what the files say, and every faulty file is named with its tile."""

from __future__ import annotations

import dataclasses
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts import TILE_FILES
from pipeline.config import UserError
from pipeline.data import rle, tables, tiles
from pipeline.system import machine


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def rgb(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, axis=2)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(rows: bytes, depth: int, colour: int, size: tuple[int, int] = (101, 101), extra: bytes = b"") -> bytes:
    """A PNG written by hand: for the colour types that OpenCV does not write, and for damage with right checksums."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def scanlines(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


class Raw:
    """A made-up download: four training tiles, two test tiles; each test changes something in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder / "raw", folder / "tiles"
        self.out.mkdir(parents=True)
        draw = np.random.default_rng(0)
        self.images = dict(zip(["b", "a", "d", "c"], draw.integers(0, 256, (4, 101, 101), np.uint8), strict=True))
        self.images["d"][:] = 7
        self.masks = {name: np.zeros((101, 101), np.uint8) for name in self.images}
        self.masks["a"][30:, 10:40] = 1
        self.masks["c"][:, 50:60] = 1
        self.masks["d"][:] = 1
        self.tests = dict(zip(["z", "y"], draw.integers(0, 256, (2, 101, 101), np.uint8), strict=True))
        for part, arrays in (("train/images", self.images), ("test/images", self.tests)):
            for name, pixels in arrays.items():
                self.put(f"{part}/{name}.png", png(rgb(pixels)))
        for name, mask in self.masks.items():
            self.put(f"train/masks/{name}.png", png(mask.astype(np.uint16) * 65535))
        texts = dict(zip(self.masks, rle.encode(np.stack(list(self.masks.values()))), strict=True))
        self.put("train.csv", "id,rle_mask\n" + "".join(f"{name},{text}\n" for name, text in texts.items()))
        self.put("depths.csv", "id,z\ny,600\nz,500\nd,400\nc,300\nb,200\na,100\n")
        self.put("sample_submission.csv", "id,rle_mask\nz,1 1\ny,1 1\n")

    def put(self, name: str, content: str | bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        self.put(name, text.replace(old, new, 1))

    def decode(self) -> dict:
        return tiles.decode(self.folder, self.out)

    def error(self) -> str:
        with pytest.raises(UserError) as caught:
            self.decode()
        line = str(caught.value)
        assert "\n" not in line
        return line


@pytest.fixture
def raw(tmp_path: Path) -> Raw:
    return Raw(tmp_path)


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up download, decoded once; copy it before changing it."""
    made = Raw(tmp_path_factory.mktemp("decoded"))
    made.decode()
    return made.out


def test_decoded_tiles_are_what_the_files_say(raw: Raw) -> None:
    steps: list[tuple[int, int]] = []
    summary = tiles.decode(raw.folder, raw.out, lambda done, total: steps.append((done, total)))
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
    monkeypatch.setattr(tiles, "_CHUNK", 3)
    monkeypatch.setattr(machine, "cores", lambda: 4)
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


def test_tables_of_other_habits_are_read(raw: Raw) -> None:
    for name in ("train.csv", "depths.csv", "sample_submission.csv"):
        lines = (raw.folder / name).read_text().splitlines()
        text = "\r\n".join([f"{lines[0]},note", *(f"{line},x" for line in lines[1:]), ""])
        raw.put(name, b"\xef\xbb\xbf" + text.encode())
    raw.replace("depths.csv", "y,600", "unknown,1\r\ny,600")
    assert raw.decode()["train"] == 4


PIXELS = np.random.default_rng(2).integers(0, 256, (101, 101), np.uint8)
GREY_PALETTE = chunk(b"PLTE", np.arange(256, dtype=np.uint8).repeat(3).tobytes())
IMAGES = {
    "grey": png(PIXELS),
    "rgb": png(rgb(PIXELS)),
    "rgba": png(np.dstack([rgb(PIXELS), 255 - PIXELS])),
    "grey with alpha": raw_png(scanlines(np.stack([PIXELS, 255 - PIXELS], axis=2)), 8, 4),
    "16 bits": png(PIXELS.astype(np.uint16) * 257),
    "palette": raw_png(scanlines(PIXELS), 8, 3, extra=GREY_PALETTE),
}
MASK = (PIXELS > 99).astype(np.uint8)
MASKS = {
    "8 bits": png(MASK * 255),
    "16 bits": png(MASK.astype(np.uint16) * 65535),
    "rgb": png(rgb(MASK * 255)),
    "1 bit": raw_png(scanlines(np.packbits(MASK, axis=1)), 1, 0),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_grey_images_of_every_kind_are_read(kind: str) -> None:
    found, error = tiles.decode_image(IMAGES[kind])
    assert error == ""
    np.testing.assert_array_equal(found, PIXELS)


@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_every_kind_are_read(kind: str) -> None:
    found, error = tiles.decode_mask(MASKS[kind])
    assert error == ""
    np.testing.assert_array_equal(found, MASK)


GOOD = png(np.arange(101 * 101, dtype=np.uint32).reshape(101, 101).astype(np.uint8))
COLOUR = rgb(np.zeros((101, 101), np.uint8))
COLOUR[5, 5, 1] = 1
BAD_IMAGES = {
    "an empty file": b"",
    "not a PNG": b"GIF89a",
    "cut off": GOOD[: len(GOOD) // 2],
    "cut off: the end": GOOD[:-12],
    "100x101": png(np.zeros((101, 100), np.uint8)),
    "60000x60000": raw_png(b"", 8, 0, (60000, 60000)),
    "a checksum": GOOD[:60] + bytes([GOOD[60] ^ 1]) + GOOD[61:],
    "its header": GOOD[:8] + GOOD[-12:],
    "cannot be decoded": raw_png(scanlines(np.zeros((50, 101), np.uint8)), 8, 0),
    "in colour": png(COLOUR),
    "16-bit grey values": png(np.full((101, 101), 258, np.uint16)),
}


@pytest.mark.parametrize("fault", BAD_IMAGES)
def test_a_bad_image_is_explained(error: str) -> None:
    pixels, told = tiles.decode_image(BAD_IMAGES[error])
    assert pixels is None
    assert error in told
    if not error.startswith("16"):
        assert tiles.decode_mask(BAD_IMAGES[error]) == (None, told)


@pytest.mark.parametrize("name", ["train/images/c", "train/masks/c", "test/images/y"])
def test_a_bad_file_is_named(raw: Raw, name: str) -> None:
    raw.put(f"{name}.png", BAD_IMAGES["cut off"])
    line = raw.error()
    assert f"{name[-1]}: {name}.png is cut off" in line
    # That the encoding does not fit a mask that was not read is no news.
    assert "rle_mask" not in line


@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 1), (np.uint8, 254), (np.uint16, 255), (np.uint16, 65534)])
def test_a_mask_with_another_value_is_explained(dtype: type, value: int) -> None:
    mask: np.ndarray = MASK.astype(dtype) * np.iinfo(dtype).max
    mask[0, 0] = value
    pixels, told = tiles.decode_mask(png(mask))
    assert pixels is None
    assert f"is a mask with the value {value}" in told


@pytest.mark.parametrize(
    ("table", "old", "new", "fault"),
    [
        ("train.csv", "\nb,\n", "\nb,1 5\n", "b: its rle_mask in train.csv differs from its mask in 5 pixels"),
        ("train.csv", "\nb,\n", "\nb,5\n", "b: its rle_mask in train.csv is wrong"),
        ("train.csv", "\nb,\n", "\nb,\nb,\n", "b: is listed in train.csv more than once"),
        ("train.csv", "\nb,\n", "\n", "b: is in train/images, but not listed in train.csv"),
        ("train.csv", "\nb,\n", "\nb,\nnew,\n", "new: is listed in train.csv, but train/images has no such tile"),
        ("train.csv", "\nb,\n", "\nb,\nz,\n", "z: is listed in both"),
        ("sample_submission.csv", "\ny,", "\nz,", "z: is listed in sample_submission.csv more than once"),
        ("sample_submission.csv", "\ny,1 1", "", "y: is in test/images, but not listed in sample_submission.csv"),
        ("sample_submission.csv", "\ny,", "\nw,1 1\ny,", "w: is listed in sample_submission.csv, but test/images"),
        ("depths.csv", "\na,100", "", "a: has no depth"),
        ("depths.csv", "\ny,600", "", "y: has no depth"),
        ("depths.csv", "\na,100", "\na,100\na,101", "a: is listed in depths.csv more than once"),
        ("depths.csv", "\na,100", "\na,deep", "a: has the depth deep in depths.csv, which is not a number"),
        ("depths.csv", "\na,100", "\na,", "a: has the depth '' in depths.csv, which is not a number"),
        ("depths.csv", "\na,100", "\na,inf", "a: has the depth inf in depths.csv, which is not a number"),
        ("depths.csv", "\na,100", "\na,-1", "a: has the depth -1 in depths.csv, which is negative"),
        ("train.csv", "rle_mask", "mask", "train.csv: lacks the column rle_mask (it has id, mask)"),
        ("train.csv", "id,", "image,", "train.csv: lacks the column id"),
        ("depths.csv", "id,z", "a,b", "depths.csv: lacks the column id, z (it has a, b)"),
        ("train.csv", "id,rle_mask", "id, id,rle_mask", "train.csv: is not a readable CSV"),
        ("train.csv", "\nb,\n", '\n"b,\n', "train.csv: is not a readable CSV"),
        ("depths.csv", "\na,100", "\na,100,1,2", "depths.csv: is not a readable CSV"),
    ],
)
def test_a_wrong_table_is_explained(raw: Raw, table: str, old: str, new: str, error: str) -> None:
    raw.replace(table, old, new)
    assert error in raw.error()


def test_rows_longer_than_the_header_are_refused(raw: Raw) -> None:
    raw.put("depths.csv", "id,z\n" + "".join(f"{name},1,2\n" for name in "abcdyz"))
    assert "depths.csv: is not a readable CSV" in raw.error()


OVERSIZED = {
    "header of a million commas": ("id,rle_mask,z" + "," * 1_000_000 + "\na,,1\n", "line 1 has more than"),
    "header of 33 columns": ("id,rle_mask,z" + ",x" * 30 + "\na,,1\n", "line 1 has 33 fields, more than 32"),
    "header that a quoted line end makes longer": (
        'id,rle_mask,z,"\n"' + ',,,,"\n"' * 30 + "\na,,1\n",
        "line 1 has a quote that is not closed",
    ),
    "header with a quote inside a field": ('id,rle_mask,z,a","\n",b\na,,1\n', "line 1 has a quote that is not closed"),
    "row of 33 fields": ("id,rle_mask,z\na,,1\nb" + "," * 32 + "\n", "line 3 has 33 fields, more than 32"),
    "long field": ("id,rle_mask,z\na," + "1 " * 40_000 + ",1\n", "line 2 has a field of more than 65,536 characters"),
    "long line": ("id,rle_mask,z\na," + "1 " * 70_000 + ",1\n", "line 2 has more than 131,072 characters"),
    "many rows": ("id,rle_mask,z\n" + "a,,1\n" * 200_001, "it has more than 200,000 rows"),
    "many rows of an old Mac": ("id,rle_mask,z\r" + "a,,1\r" * 200_001, "it has more than 200,000 rows"),
}


@pytest.mark.parametrize("kind", OVERSIZED)
@pytest.mark.parametrize("table", ["train.csv", "depths.csv", "sample_submission.csv"])
def test_a_table_beyond_the_bounds_is_refused_before_pandas_sees_it(
    raw: Raw, table: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = pd.read_csv

    def guarded(path: Path, **options: object) -> pd.DataFrame:
        assert path.name != table, "pandas was given the table"
        return read(path, **options)

    monkeypatch.setattr(pd, "read_csv", guarded)
    content, reason = OVERSIZED[kind]
    raw.put(table, content)
    line = raw.error()
    assert f"{table}: is not a readable CSV ({reason}" in line
    assert len(line) < 400


def test_a_table_of_more_bytes_than_the_bound_is_refused(raw: Raw) -> None:
    with (raw.folder / "train.csv").open("r+b") as stream:
        stream.truncate(64 * 2**20 + 1)
    assert "train.csv: is not a readable CSV (it has more than 67,108,864 bytes)" in raw.error()


def test_own_tables_are_bounded_too(decoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(decoded, tmp_path / "tiles")
    (folder / "train.csv").write_text("," * 1_000_000 + "\n")
    monkeypatch.setattr(pd, "read_csv", lambda *_, **__: pytest.fail("pandas was given the table"))
    with pytest.raises(UserError, match=r"train\.csv: .*run the stage prepare again"):
        tiles.load(folder)


def test_the_longest_encoding_of_a_tile_is_within_the_bounds(raw: Raw) -> None:
    mask = np.indices((101, 101)).sum(axis=0) % 2
    (text,) = rle.encode(mask[None])
    assert len(text) < tables.MAX_FIELD
    raw.put("train/masks/b.png", png(mask.astype(np.uint16) * 65535))
    raw.replace("train.csv", "\nb,\n", f"\nb,{text}\n")
    assert raw.decode()["train"] == 4


@pytest.mark.parametrize("content", [b"", b"\n\n", b"id,rle_mask,z\n", b"\xff\xfe\0i\0d", b"\0\0\0"])
@pytest.mark.parametrize("table", ["train.csv", "depths.csv"])
def test_an_empty_or_binary_table_is_named(raw: Raw, table: str, content: bytes) -> None:
    raw.put(table, content)
    assert f"{table}: " in raw.error()


@pytest.mark.parametrize("name", ["train.csv", "depths.csv", "sample_submission.csv"])
def test_a_missing_table_is_named(raw: Raw, name: str) -> None:
    (raw.folder / name).unlink()
    assert f"{name}: No such file" in raw.error()


@pytest.mark.parametrize("name", ["train/images/a", "train/masks/a", "test/images/y"])
def test_a_missing_tile_is_named(raw: Raw, name: str) -> None:
    (raw.folder / f"{name}.png").unlink()
    part, tile = name.rsplit("/", 1)
    assert f"{tile}: is listed in" in (line := raw.error())
    assert f"but {part} has no such tile" in line


def test_all_faults_are_told_at_once_the_first_by_name(raw: Raw) -> None:
    raw.replace("depths.csv", "\na,100", "\na,-1")
    raw.replace("train.csv", "\nb,\n", "\nb,1 5\n")
    for name in "cd":
        raw.put(f"train/images/{name}.png", b"")
    raw.put("test/images/y.png", b"")
    line = raw.error()
    assert "a: has the depth -1" in line
    assert "c: train/images/c.png" in line
    assert "; and 2 more" in line


def test_a_full_disk_is_told_before_anything_is_written(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert "free some space" in raw.error()
    assert not list(raw.out.iterdir())


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


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_hostile_png_bytes_are_decoded_or_refused(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([GOOD, BAD_IMAGES["in colour"], b"\x89PNG\r\n\x1a\n", b"x"])))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for decode in (tiles.decode_image, tiles.decode_mask):
        pixels, error = decode(bytes(content))
        assert (pixels is None) == bool(error)
        if pixels is not None:
            assert pixels.shape == (101, 101)
            assert pixels.dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=60) | st.text('id,z\n\r"ab1; .-e\0', max_size=40).map(lambda text: text.encode()))
def test_hostile_tables_only_give_user_errors(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.csv"
    path.write_bytes(content)
    faults = tiles.TileErrors()
    try:
        table = tiles._read_csv(path, ["id", "z"], faults)
    except UserError as error:
        line = str(error)
    else:
        line = "read"
        assert list(table) == ["id", "z"]
        assert table["id"].is_unique
    assert "\n" not in line
