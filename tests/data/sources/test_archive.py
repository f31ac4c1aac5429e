"""Archives of both arrangements and every damage are unpacked, or refused in one line."""

from __future__ import annotations

import io
import os
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
from pipeline.data.sources import archive as source
from pipeline.data.sources.archive import fingerprint, quick_identity, unpack

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


@pytest.fixture
def out(tmp_path: Path) -> Path:
    made = tmp_path / "work" / "raw"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def refused(tmp_path: Path, out: Path) -> Callable[[bytes | Path], str]:
    """Unpack an archive, which must fail; returns the error's line, and checks that nothing was written elsewhere."""

    def unpack_it(archive: bytes | Path) -> str:
        path = archive if isinstance(archive, Path) else tmp_path / "a.zip"
        if isinstance(archive, bytes):
            path.write_bytes(archive)
        before = {each for each in tmp_path.rglob("*") if not each.is_relative_to(out)}
        with pytest.raises(UserError) as caught:
            unpack(path, out)
        after = {each for each in tmp_path.rglob("*") if not each.is_relative_to(out)}
        assert after == before
        line = str(caught.value)
        assert "\n" not in line
        assert line
        return line

    return unpack_it


NOISE: Files = {
    "__MACOSX/train/images/._t1.png": b"x",
    "train/images/._t1.png": b"x",
    "train/images/.DS_Store": b"x",
    "train/images/Thumbs.db": b"x",
    "README.txt": b"x",
    "flamingo.zip": b"not even a zip",
}
ARRANGEMENTS: dict[str, Callable[[], Files]] = {
    "flat": flat,
    "both": lambda: {**flat(), "competition_data.zip": b"never opened", "flamingo.zip": b"never opened"},
    "only competition_data.zip": lambda: {"competition_data.zip": zipped(under("competition_data", WANTED))},
    "competition_data.zip of zips": lambda: {"competition_data.zip": zipped(under("competition_data", flat()))},
    "competition_data unpacked": lambda: under("competition_data", WANTED),
    "one folder deeper": lambda: under("somewhere", flat()),
    "all unpacked": lambda: dict(WANTED),
    "train unpacked, test zipped": lambda: {
        **TABLES,
        **{f"train/{name}": content for name, content in TRAIN.items()},
        "test.zip": zipped(TEST),
    },
    "zip with a folder of its own name": lambda: {**flat(), "train.zip": zipped(under("train", TRAIN))},
    "zipped tables": lambda: {
        **{f"{name}.zip": zipped({name: content}) for name, content in TABLES.items()},
        "train.zip": zipped(TRAIN),
        "test.zip": zipped(TEST),
    },
    "noise": lambda: {**WANTED, **NOISE},
}


@pytest.mark.parametrize("name", ARRANGEMENTS)
@pytest.mark.parametrize("form", ["deflated", "stored", "folder", "folder with the zip"])
def test_every_arrangement_is_unpacked_to_one_layout(tmp_path: Path, out: Path, name: str, form: str) -> None:
    files, path = ARRANGEMENTS[name](), tmp_path / "given"
    if form == "folder":
        write(path, files)
    elif form == "folder with the zip":
        write(path, {"tgs-salt-identification-challenge.zip": zipped(files)})
    else:
        path.write_bytes(zipped(files, zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED))
    steps: list[tuple[int, int]] = []
    unpack(path, out, lambda done, total: steps.append((done, total)))
    assert read(out) == WANTED
    assert steps[-1] == (len(WANTED), len(WANTED))
    assert sorted(each.name for each in out.parent.iterdir()) == ["raw"]


def test_unpacked_tiles_are_not_mixed_with_the_zip_beside_them(tmp_path: Path, out: Path) -> None:
    other = {**TRAIN, "images/t1.png": b"another", "images/t3.png": b"more", "masks/t3.png": b"more"}
    files = {name: content for name, content in WANTED.items() if not name.startswith("test/")}
    (tmp_path / "a.zip").write_bytes(zipped({**files, "train.zip": zipped(other), "test.zip": zipped(TEST)}))
    unpack(tmp_path / "a.zip", out)
    assert read(out) == WANTED


def test_the_same_member_twice_is_accepted_where_it_is_the_same(
    out: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    def twice(content: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as made:
            for name, old in TRAIN.items():
                made.writestr(name, old)
            with pytest.warns(UserWarning, match="Duplicate"):
                made.writestr("images/t1.png", content)
        return zipped({**flat(), "train.zip": stream.getvalue()})

    (tmp_path / "same.zip").write_bytes(twice(TRAIN["images/t1.png"]))
    unpack(tmp_path / "same.zip", out)
    assert read(out) == WANTED
    line = refused(twice(b"something else"))
    assert "train.zip" in line
    assert "images/t1.png" in line
    assert "twice" in line


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_what_is_missing_is_named(tmp_path: Path, refused: Callable[..., str], name: str, form: str) -> None:
    files = {each: content for each, content in WANTED.items() if each != name}
    line = refused(zipped(files) if form == "zip" else write(tmp_path / "given", files))
    if name.endswith(".csv"):
        assert f"lacks {name};" in line
    elif name.startswith("train"):
        part, file = name.rsplit("/", 1)
        assert f"{part} lacks {file}" in line
    else:
        assert "lacks test.zip or test/images/*.png" in line


def test_many_unpaired_tiles_are_counted(refused: Callable[..., str]) -> None:
    more = {f"train/masks/m{number}.png": b"m" for number in range(9)}
    line = refused(zipped({**WANTED, **more}))
    assert "train/images lacks m0.png, m1.png, m2.png and 6 more" in line


def test_a_missing_zip_is_named(refused: Callable[..., str]) -> None:
    files = flat()
    del files["train.zip"]
    assert "lacks train.zip or train/images/*.png, train.zip or train/masks/*.png;" in refused(zipped(files))


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
    monkeypatch.setattr(source, "MAX_MEMBERS", 40)  # which going round in circles would exceed
    unpack(given, out)
    assert read(out) == WANTED


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
    assert f"more than {getattr(source, limit):,} bytes" in line


def test_a_bomb_that_lies_about_its_size_is_stopped(refused: Callable[..., str], tmp_path: Path, out: Path) -> None:
    real = bytes(3 * 2**20)
    content = zipped({**WANTED, "train/images/t1.png": real})
    lied = content.replace(struct.pack("<I", len(real)), struct.pack("<I", 100))
    assert lied != content
    assert "train/images/t1.png" in refused(lied)
    assert sum(len(each) for each in read(out).values()) < 2**20


def test_nested_and_total_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]) -> None:
    monkeypatch.setattr(source, "MAX_ZIP", 100)
    line = refused(zipped(flat()))
    assert "train.zip" in line
    assert "more than 100 bytes" in line
    monkeypatch.setattr(source, "MAX_ZIP", 10**6)
    monkeypatch.setattr(source, "MAX_TOTAL", 90)
    assert "unpacks to more than" in refused(zipped(flat()))


def test_the_number_of_members_is_bounded(
    monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str], tmp_path: Path
) -> None:
    monkeypatch.setattr(source, "MAX_MEMBERS", 5)
    assert "more than 5" in refused(zipped(WANTED))
    assert "more than 5" in refused(write(tmp_path / "given", WANTED))
    monkeypatch.setattr(source, "MAX_MEMBERS", 200_000)
    monkeypatch.setattr(source, "_MAX_DIRECTORY", 100)
    assert "list of members is too long" in refused(zipped(WANTED))


def test_nesting_is_bounded(refused: Callable[..., str]) -> None:
    content = zipped(flat())
    for _ in range(4):
        content = zipped({"competition_data.zip": content})
    assert "more than 3 deep" in refused(content)


@pytest.mark.parametrize("name", ["train/images/t 1.png", "train/images/T1.PNG", "test/images/t1.x.png"])
def test_a_strange_tile_name_is_refused(refused: Callable[..., str], name: str) -> None:
    line = refused(zipped({**WANTED, name: b"x"}))
    assert name.rsplit("/", 1)[1] in line
    assert "no tile's name" in line


def test_names_that_differ_in_case_only_are_refused(refused: Callable[..., str]) -> None:
    assert "twice" in refused(zipped({**WANTED, "test/images/Q1.png": b"x"}))


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>403</html>" * 100])
def test_a_file_that_is_no_zip_is_refused(refused: Callable[..., str], content: bytes) -> None:
    assert "not a zip" in refused(content)


def test_paths_that_lead_nowhere_are_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    for use in (refused, fingerprint, quick_identity):
        if use is refused:
            assert "no such file" in refused(tmp_path / "nowhere.zip")
        else:
            with pytest.raises(UserError, match="no such file"):
                use(tmp_path / "nowhere.zip")
    os.mkfifo(tmp_path / "pipe.zip")
    assert "neither a zip nor a folder" in refused(tmp_path / "pipe.zip")
    (tmp_path / "empty").mkdir()
    assert "none of the competition's files" in refused(tmp_path / "empty")


def test_a_refusal_of_the_system_is_explained(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = write(tmp_path / "given", WANTED)

    def scandir(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(source.os, "scandir", scandir)
    line = refused(given)
    assert str(given) in line
    assert "Permission denied" in line


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


def test_fingerprint_of_a_folder_follows_names_and_sizes(tmp_path: Path) -> None:
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
