"""Zips that are hostile or damaged are refused in one line."""

from __future__ import annotations

import io
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import UserError
from pipeline.data.sources.archive import limits, unpack
from tests.data.sources.archive.helpers import TEST, TRAIN, WANTED, flat, read, under, write, zipped
from tests.tile_size import with_tile


@pytest.mark.parametrize(
    "name", ["../x.csv", "a/../../x.csv", "/etc/x.csv", "C:/x.csv", "a\\..\\x.csv", "\\x.csv", "a\nb.csv", "x\0.csv"]
)
@pytest.mark.parametrize("nested", [False, True])
def test_an_unsafe_path_is_refused(refused: Callable[..., str], name: str, nested: bool) -> None:
    # zipfile itself cuts names at a zero byte, so the name is put in afterwards.
    placeholder = "~" * len(name)
    inner = zipped({**(TRAIN if nested else WANTED), placeholder: b"evil"}).replace(placeholder.encode(), name.encode())
    line = refused(zipped({**flat(), "train.zip": inner}) if nested else inner)
    assert "unsafe" in line
    assert repr(name) in line


def with_mode(name: str, mode: int, content: bytes = b"/etc/passwd") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for each, data in WANTED.items():
            if each != name:
                made.writestr(each, data)
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, mode << 16
        made.writestr(info, content)
    return stream.getvalue()


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_special_files_in_a_zip_are_refused(refused: Callable[..., str], mode: int) -> None:
    line = refused(with_mode("train/images/t1.png", mode | 0o777))
    assert "train/images/t1.png" in line
    assert "unsafe" in line


def test_a_flipped_byte_is_found_by_the_checksum_and_named(refused: Callable[..., str]) -> None:
    damaged = zipped({**flat(), "train.zip": zipped(TRAIN, zipfile.ZIP_STORED)}, zipfile.ZIP_STORED)
    line = refused(damaged.replace(b"mask two", b"mask tow"))
    assert "train.zip" in line
    assert "damaged" in line

    inner = zipped(TRAIN, zipfile.ZIP_STORED).replace(b"mask two", b"mask tow")
    line = refused(zipped({**flat(), "train.zip": inner}))
    assert "train.zip/masks/t2.png" in line
    assert "damaged" in line


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_cut_off_download_is_refused(refused: Callable[..., str], kept: float) -> None:
    whole = zipped(flat())
    line = refused(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    assert "a.zip" in line
    assert "download" in line


def test_a_cut_off_nested_zip_is_named(refused: Callable[..., str]) -> None:
    assert "test.zip" in refused(zipped({**flat(), "test.zip": zipped(TEST)[:-30]}))


def test_an_encrypted_member_is_refused(refused: Callable[..., str]) -> None:
    content = bytearray(zipped(WANTED))
    place = content.index(b"PK\1\2")
    content[place + 8] |= 1
    line = refused(bytes(content))
    assert "train.csv" in line
    assert "is encrypted; unpack it with its password" in line


def test_a_compression_method_without_a_bound_is_refused(refused: Callable[..., str]) -> None:
    assert "compression method" in refused(zipped(WANTED, zipfile.ZIP_LZMA))


@pytest.mark.parametrize(
    ("limit", "name", "size"),
    [("MAX_TILE", "train/images/t1.png", 2**20 + 1), ("MAX_CSV", "train.csv", 64 * 2**20 + 1)],
)
def test_a_bomb_is_stopped_at_the_limit(refused: Callable[..., str], limit: str, name: str, size: int) -> None:
    line = refused(zipped({**WANTED, name: bytes(size)}))
    assert name in line
    assert f"more than {getattr(limits, limit):,} bytes" in line


def test_larger_tiles_may_have_more_bytes(tmp_path: Path) -> None:
    image = bytes(1_800_000)  # RGB of 768x768 pixels, which noise does not let shrink
    (tmp_path / "a.zip").write_bytes(zipped({**WANTED, "train/images/t1.png": image}))
    code = (
        "from pathlib import Path\n"
        "from pipeline.data.sources.archive import limits, unpack\n"
        "folder = Path(sys.argv[1])\n"
        "(folder / 'raw').mkdir()\n"
        "unpack(folder / 'a.zip', folder / 'raw')\n"
        "print(limits.MAX_TOTAL // limits.MAX_TILE)"
    )
    assert with_tile(768, code, tmp_path) == "4096"
    assert read(tmp_path / "raw")["train/images/t1.png"] == image


def test_a_bomb_that_lies_about_its_size_is_stopped(refused: Callable[..., str], tmp_path: Path, out: Path) -> None:
    real = bytes(3 * 2**20)
    content = zipped({**WANTED, "train/images/t1.png": real})
    lied = content.replace(struct.pack("<I", len(real)), struct.pack("<I", 100))
    assert lied != content
    assert "train/images/t1.png" in refused(lied)
    assert sum(len(each) for each in read(out).values()) < 2**20


def test_nested_and_total_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]) -> None:
    monkeypatch.setattr(limits, "MAX_ZIP", 100)
    line = refused(zipped(flat()))
    assert "train.zip" in line
    assert "more than 100 bytes" in line
    monkeypatch.setattr(limits, "MAX_ZIP", 10**6)
    monkeypatch.setattr(limits, "MAX_TOTAL", 90)
    assert "unpacks to more than" in refused(zipped(flat()))


def test_the_number_of_members_is_bounded(
    monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str], tmp_path: Path
) -> None:
    monkeypatch.setattr(limits, "MAX_MEMBERS", 5)
    assert "more than 5" in refused(zipped(WANTED))
    assert "more than 5" in refused(write(tmp_path / "given", WANTED))
    monkeypatch.setattr(limits, "MAX_MEMBERS", 200_000)
    monkeypatch.setattr(limits, "MAX_DIRECTORY", 100)
    assert "list of members is too long" in refused(zipped(WANTED))


def test_nesting_is_bounded(refused: Callable[..., str]) -> None:
    content = zipped(flat())
    for _ in range(4):
        content = zipped({"competition_data.zip": content})
    assert "more than 3 deep" in refused(content)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>403</html>" * 100])
def test_a_file_that_is_no_zip_is_refused(refused: Callable[..., str], content: bytes) -> None:
    assert "not a zip" in refused(content)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_hostile_bytes_only_ever_give_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from(FUZZED))
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if kind == "set":
            content[place] = data.draw(st.integers(0, 255))
        elif kind == "cut" and len(content) > 1:
            del content[place : place + data.draw(st.integers(1, min(64, len(content) - 1)))]
        else:
            content[place:place] = data.draw(st.binary(max_size=32))
        if not content:
            break
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "raw").mkdir()
    (folder / "a.zip").write_bytes(bytes(content))
    try:
        unpack(folder / "a.zip", folder / "raw")
    except UserError as error:
        line = str(error)
    else:
        line = "unpacked"
        assert {zlib.crc32(each) for each in read(folder / "raw").values()} <= {
            zlib.crc32(each) for each in WANTED.values()
        }
    assert "\n" not in line
    assert {each.name for each in folder.iterdir()} == {"a.zip", "raw"}
    shutil.rmtree(folder)


FUZZED = [
    zipped(WANTED),
    zipped(WANTED, zipfile.ZIP_STORED),
    zipped(flat()),
    zipped({"competition_data.zip": zipped(under("competition_data", flat()))}, zipfile.ZIP_STORED),
    b"PK\3\4 any bytes",
]
