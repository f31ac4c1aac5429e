"""The file of folds: written, read again, and checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import SplitSettings, UserError
from pipeline.data import folds
from pipeline.data.stratify import assign_folds
from tests.data.helpers import labelled_tiles


def test_the_fold_of_each_tile_is_in_the_order_of_the_tiles(tmp_path: Path) -> None:
    folds.write(tmp_path / "folds.csv", labelled_tiles(4), np.array([1, 0, 0, 2]))
    assert folds.fold_of_tiles(tmp_path).tolist() == [1, 0, 0, 2]


def test_folds_csv_round_trip(tmp_path: Path) -> None:
    table = labelled_tiles(50).assign(other=1)
    table.loc[0, "id"] = "0012e3"  # neither a number nor missing, whatever it looks like
    table.loc[1, "id"] = "NA"
    fold_of = assign_folds(table, SplitSettings())
    folds.write(tmp_path / "folds.csv", table, fold_of)
    assert (tmp_path / "folds.csv").read_text().startswith("id,fold,depth,coverage\n")
    back = folds.read(tmp_path / "folds.csv")
    assert list(back.columns) == ["id", "fold", "depth", "coverage"]
    assert back["fold"].dtype == np.int64
    for name, column in (("id", table["id"]), ("fold", fold_of), ("depth", table["depth"])):
        assert back[name].tolist() == list(column)
    assert back["coverage"].tolist() == table["coverage"].tolist()


def test_ids_that_look_like_numbers_stay_as_they_are(tmp_path: Path) -> None:
    table = labelled_tiles(3).assign(id=["001", "1", "1e0"])
    folds.write(tmp_path / "folds.csv", table, np.array([0, 1, 0]))
    assert folds.read(tmp_path / "folds.csv")["id"].tolist() == ["001", "1", "1e0"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ("id,fold,depth\na,0,100\n", "'coverage' is missing"),
        ("id,fold,depth,coverage\na,0,100,0\na,1,100,0\n", "tile a is listed more than once"),
        ("id,fold,depth,coverage\n,0,100,0\n", "row 1 has no id"),
        ("id,fold,depth,coverage\na,0,100,0\nb,x,100,0\n", "tile b has the fold 'x'"),
        ("id,fold,depth,coverage\na,-1,100,0\n", "tile a has the fold '-1'"),
        ("id,fold,depth,coverage\na,0.5,100,0\n", "tile a has the fold '0.5'"),
        ("id,fold,depth,coverage\na,1e30,100,0\n", "tile a has the fold"),
        ("id,fold,depth,coverage\na,0,,0\n", "tile a has the depth ''"),
        ("id,fold,depth,coverage\na,0,100,inf\n", "tile a has the coverage 'inf'"),
        ('id,fold,depth,coverage\n"a,0,100,0\n', "cannot be read"),
        ("id,fold,depth,coverage\na,0,100,0\na,0,100,0,5,6\n", "cannot be read"),
        ("id,fold,depth,coverage\n\udcff,0,100,0\n", "cannot be read"),
        ("id,fold,depth,coverage" + ",x" * 60_000 + "\n", "cannot be read (line 1 has 60,004 fields, more than 32)"),
    ],
)
def test_a_broken_folds_csv_is_refused_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "folds.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as caught:
        folds.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert reason in message
    assert "\n" not in message


def test_a_missing_folds_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"folds\.csv: cannot be read \(No such file"):
        folds.read(tmp_path / "folds.csv")
