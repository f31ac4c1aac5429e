"""Archives of every arrangement are unpacked, and what is missing in one is named."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import UserError
from pipeline.data.sources.archive import fingerprint, quick_identity, unpack
from tests.data.sources.archive.helpers import TABLES, TEST, TRAIN, WANTED, Files, flat, read, under, write, zipped

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
    "zip with a folder of the same name": lambda: {**flat(), "train.zip": zipped(under("train", TRAIN))},
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


OTHER_FOLDERS = {
    "one folder": ("train_images", "train_masks", "test_images"),
    "other names": ("training/img", "training/seg", "testing/img"),
    "three folders": ("train/tiles/img", "train/tiles/seg", "test/tiles/img"),
    "one folder in another": ("images", "masks", "test/images"),
}


@pytest.mark.parametrize("kind", OTHER_FOLDERS)
def test_other_folders_are_one_constant(tmp_path: Path, kind: str) -> None:
    # docs/own-data.md says so. In a process of its own, because modules take the names when they are imported.
    wanted: Files = dict(TABLES)
    zips: dict[str, Files] = {}
    for part, standard in zip(OTHER_FOLDERS[kind], ("train/images", "train/masks", "test/images"), strict=True):
        for name, content in WANTED.items():
            folder, _, file = name.rpartition("/")
            if folder == standard:
                wanted[f"{part}/{file}"] = content
                outer, _, inner = f"{part}/{file}".partition("/")
                zips.setdefault(f"{outer}.zip", {})[inner] = content
    nested = {name: zipped(files) for name, files in zips.items()}
    write(tmp_path / "folder", wanted)
    write(tmp_path / "zips", {**TABLES, **nested})
    (tmp_path / "one.zip").write_bytes(zipped({**TABLES, **nested}))
    same = {name: zipped(under(name.removesuffix(".zip"), files)) for name, files in zips.items()}
    (tmp_path / "same.zip").write_bytes(zipped({**TABLES, **same}))
    write(tmp_path / "tables", TABLES)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from pipeline.data import files\n"
        f"files.RAW_FOLDERS = {OTHER_FOLDERS[kind]}\n"
        "files.RAW_TRAIN_IMAGES, files.RAW_TRAIN_MASKS, files.RAW_TEST_IMAGES = files.RAW_FOLDERS\n"
        "from pipeline.config import UserError\n"
        "from pipeline.data.sources.archive import unpack\n"
        "os.chdir(sys.argv[1])\n"
        "for name in ('folder', 'zips', 'one.zip', 'same.zip', 'tables'):\n"
        "    Path('raw', name).mkdir(parents=True)\n"
        "    try:\n"
        "        unpack(Path(name), Path('raw', name))\n"
        "    except UserError as error:\n"
        "        print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    lacking = ", ".join(f"{part.partition('/')[0]}.zip or {part}/*.png" for part in OTHER_FOLDERS[kind])
    assert ran.stdout.startswith(f"tables: lacks {lacking}; ")
    assert ran.stdout.count("\n") == 1
    for name in ("folder", "zips", "one.zip", "same.zip"):
        assert read(tmp_path / "raw" / name) == wanted


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


OTHER_CASE: dict[str, tuple[Callable[[], Files], str]] = {
    "table": (
        lambda: {name.replace("train.csv", "Train.csv"): content for name, content in flat().items()},
        "lacks train.csv; rename Train.csv to train.csv",
    ),
    "folder": (
        lambda: {name.replace("train/", "Train/"): content for name, content in WANTED.items()},
        "train/masks/*.png; rename Train/images to train/images, Train/masks to train/masks",
    ),
    "zip": (
        lambda: {**TABLES, "TEST.zip": zipped(TEST), "train.zip": zipped(TRAIN)},
        "lacks test.zip or test/images/*.png; rename TEST.zip to test.zip",
    ),
    "folder in a zip": (
        lambda: {**flat(), "train.zip": zipped({name.capitalize(): content for name, content in TRAIN.items()})},
        "rename train/Images to train/images, train/Masks to train/masks",
    ),
    "all": (
        lambda: {name.capitalize(): content for name, content in flat().items()},
        "rename Train.csv to train.csv, Depths.csv to depths.csv, Sample_submission.csv to sample_submission.csv, "
        "Train.zip to train.zip, Test.zip to test.zip",
    ),
}


@pytest.mark.parametrize("kind", OTHER_CASE)
@pytest.mark.parametrize("form", ["zip", "folder"])
def test_names_in_capital_letters_are_to_be_changed(
    tmp_path: Path, refused: Callable[..., str], kind: str, form: str
) -> None:
    make, error = OTHER_CASE[kind]
    line = refused(zipped(make()) if form == "zip" else write(tmp_path / "given", make()))
    lacks, _, renamed = error.partition("rename ")
    assert lacks in line
    assert sorted(line.partition("rename ")[2].split(", ")) == sorted(renamed.split(", "))


def test_a_second_name_in_capital_letters_is_no_matter(tmp_path: Path, out: Path, refused: Callable[..., str]) -> None:
    files = {**WANTED, "other/Train.csv": b"x"}
    unpack(write(tmp_path / "given", files), out)
    assert read(out) == WANTED
    del files["depths.csv"]
    assert "rename" not in refused(zipped(files))


@pytest.mark.parametrize("name", ["train/images/t 1.png", "train/images/T1.PNG", "test/images/t1.x.png"])
def test_a_strange_tile_name_is_refused(refused: Callable[..., str], name: str) -> None:
    line = refused(zipped({**WANTED, name: b"x"}))
    assert name.rsplit("/", 1)[1] in line
    assert "no tile's name" in line


@pytest.mark.parametrize("name", ["{}.PNG", "tile {}.png", "tile.{}.png", "ä{}.png"])
def test_strange_names_of_all_tiles_are_to_be_changed(refused: Callable[..., str], name: str) -> None:
    tiles = {f"{part}/{name.format(number)}": b"x" for part in ("train/images", "train/masks") for number in range(9)}
    line = refused(zipped({**TABLES, **tiles, **{f"test/{test}": content for test, content in TEST.items()}}))
    assert f"{name.format(0)!r}, {name.format(1)!r}, {name.format(2)!r} and 6 more" in line
    assert "rename it, in the tables too, to letters from a to z, digits, - and _, then .png in lower case" in line
    assert "remove" not in line


def test_names_that_differ_in_case_only_are_refused(refused: Callable[..., str]) -> None:
    assert "twice" in refused(zipped({**WANTED, "test/images/Q1.png": b"x"}))


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
