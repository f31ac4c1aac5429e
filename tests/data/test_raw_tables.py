"""The competition's tables are read, or the error is explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import UserError
from pipeline.data import rle, tables
from pipeline.data.raw_tables import read_table
from pipeline.data.tile_errors import TileErrors
from tests.data.helpers import Raw, png
from tests.tile_size import with_tile


def test_tables_with_other_line_ends_a_byte_order_mark_and_more_columns_are_read(raw: Raw) -> None:
    for name in ("train.csv", "depths.csv", "sample_submission.csv"):
        lines = (raw.folder / name).read_text().splitlines()
        text = "\r\n".join([f"{lines[0]},note", *(f"{line},x" for line in lines[1:]), ""])
        raw.put(name, b"\xef\xbb\xbf" + text.encode())
    raw.replace("depths.csv", "y,600", "unknown,1\r\ny,600")
    assert raw.decode()["train"] == 4


@pytest.mark.parametrize(
    ("table", "old", "new", "error"),
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
def test_a_table_beyond_the_limits_is_refused_before_pandas_reads_it(
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


def test_a_table_of_more_bytes_than_the_limit_is_refused(raw: Raw) -> None:
    with (raw.folder / "train.csv").open("r+b") as stream:
        stream.truncate(64 * 2**20 + 1)
    assert "train.csv: is not a readable CSV (it has more than 67,108,864 bytes)" in raw.error()


def test_the_longest_encoding_of_a_tile_is_within_the_limits(raw: Raw) -> None:
    mask = np.indices((101, 101)).sum(axis=0) % 2
    (text,) = rle.encode(mask[None])
    assert len(text) < tables.MAX_FIELD
    raw.put("train/masks/b.png", png(mask.astype(np.uint16) * 65535))
    raw.replace("train.csv", "\nb,\n", f"\nb,{text}\n")
    assert raw.decode()["train"] == 4


def test_the_longest_encoding_of_a_large_tile_is_within_the_limits(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from pipeline.data import rle, tables\n"
        "(text,) = rle.encode(np.indices((512, 512)).sum(axis=0)[None] % 2)\n"
        "path = Path(sys.argv[1], 'train.csv')\n"
        "path.write_text(f'id,rle_mask\\na,{text}\\n')\n"
        "assert tables.read(path)['rle_mask'].item() == text\n"
        "print(len(text))"
    )
    assert int(with_tile(512, code, tmp_path)) > 2**20


def test_the_limits_of_tables_are_those_of_the_competition_for_its_tiles_and_smaller_ones(tmp_path: Path) -> None:
    code = "from pipeline.data import tables; print(tables.MAX_BYTES, tables.MAX_FIELD, tables.MAX_LINE)"
    for size in (64, 101):
        assert with_tile(size, code, tmp_path) == f"{64 * 2**20} {2**16} {2**17}"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"id,rle_mask,z\n", b"\xff\xfe\0i\0d", b"\0\0\0"])
@pytest.mark.parametrize("table", ["train.csv", "depths.csv"])
def test_an_empty_or_binary_table_is_named(raw: Raw, table: str, content: bytes) -> None:
    raw.put(table, content)
    assert f"{table}: " in raw.error()


AT_SOURCE = " - correct train.csv at its source; then make clean-download with the same DATASET, and this command again"
UNREADABLE = {
    "semicolons": (b"id;rle_mask\na;1 5\nb;\n", "(it has id;rle_mask): its columns are separated by semicolons"),
    "semicolons and decimal commas": (b"id;rle_mask;z\na;1 5;0,5\n", ": its columns are separated by semicolons"),
    "tabs": (b"id\trle_mask\na\t1 5\n", ": its columns are separated by tabs, separate them by commas"),
    "UTF-16": ("id,rle_mask\na,1 5\n".encode("utf-16"), "(it is not in UTF-8): save it as CSV in UTF-8"),
    "capital letters": (b"Id,RLE_mask\na,1 5\n", "(it has Id, RLE_mask): rename Id to id, RLE_mask to rle_mask"),
    "another column": (b"image,rle_mask\na,1 5\n", "lacks the column id (it has image, rle_mask)"),
    "no rows": (b"id,rle_mask\n", "lists no tiles"),
    "an empty file": (b"", "is not a readable CSV (No columns to parse from file)"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_table_that_cannot_be_read_is_corrected_at_its_source(raw: Raw, kind: str) -> None:
    content, error = UNREADABLE[kind]
    raw.put("train.csv", content)
    line = raw.error()
    assert line.startswith(f"{raw.folder / 'train.csv'}: ")
    assert error in line
    assert line.endswith(AT_SOURCE)


@pytest.mark.parametrize("name", ["train.csv", "depths.csv", "sample_submission.csv"])
def test_a_missing_table_is_named(raw: Raw, name: str) -> None:
    (raw.folder / name).unlink()
    assert f"{name}: No such file" in raw.error()


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=60) | st.text('id,z\n\r"ab1; .-e\0', max_size=40).map(lambda text: text.encode()))
def test_hostile_tables_only_give_user_errors(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.csv"
    path.write_bytes(content)
    errors = TileErrors()
    try:
        table = read_table(path, ["id", "z"], errors)
    except UserError as error:
        line = str(error)
    else:
        line = "read"
        assert list(table) == ["id", "z"]
        assert table["id"].is_unique
    assert "\n" not in line
