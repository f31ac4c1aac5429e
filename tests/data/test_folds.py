"""Folds: complete, balanced, repeatable, and readable again."""

from __future__ import annotations

import warnings
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import SplitSettings, UserError
from pipeline.data import folds

PROPERTY = settings(deadline=None, max_examples=60)


def survey(tiles: int, seed: int = 0) -> pd.DataFrame:
    """A made-up table of labelled tiles; two in five hold no salt."""
    rng = np.random.default_rng(seed)
    coverage = rng.integers(1, 10202, tiles) / 10201 * (rng.random(tiles) > 0.4)
    names = [f"tile{number:05d}" for number in rng.permutation(tiles)]
    return pd.DataFrame({"id": names, "depth": rng.integers(50, 960, tiles), "coverage": coverage})


def spread(classes: np.ndarray, dealt: np.ndarray, count: int) -> int:
    """Largest difference between two folds in the number of tiles of one class."""
    table = [np.bincount(dealt[classes == each], minlength=count) for each in np.unique(classes)]
    return max(int(np.ptp(row)) for row in table)


@PROPERTY
@given(
    st.integers(2, 60),
    st.integers(2, 12),
    st.sampled_from(["depth", "coverage", "depth+coverage", "random"]),
    st.integers(2, 12),
    st.integers(1, 900),
)
def test_every_tile_has_one_fold_and_folds_are_of_a_size(
    tiles: int, count: int, by: str, bins: int, depths: int
) -> None:
    split = SplitSettings(folds=count, by=by, bins=bins)  # type: ignore[arg-type]
    table = survey(tiles)
    table["depth"] %= depths
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if tiles < count:
            with pytest.raises(UserError, match=f"{tiles} labelled tiles cannot be dealt to {count} folds"):
                folds.assign(table, split)
            return
        dealt = folds.assign(table, split)
    sizes = np.bincount(dealt, minlength=count)
    assert len(sizes) == count
    assert np.ptp(sizes) <= 1
    assert sizes.sum() == tiles


def test_depth_classes_are_alike_in_all_folds() -> None:
    table = survey(1003)
    table["depth"] = np.random.default_rng(3).permutation(1003)
    dealt = folds.assign(table, SplitSettings(folds=5, by="depth", bins=10))
    deciles = np.searchsorted(np.quantile(table["depth"], np.arange(1, 10) / 10), table["depth"])
    assert len(np.unique(deciles)) == 10
    assert spread(deciles, dealt, 5) <= 1
    at_random = folds.assign(table, SplitSettings(folds=5, by="random"))
    assert spread(deciles, at_random, 5) > 1


def test_coverage_classes_are_alike_in_all_folds() -> None:
    table = survey(1003)
    table.loc[:9, "coverage"] = 1.0
    dealt = folds.assign(table, SplitSettings(folds=5, by="coverage", bins=10))
    classes = np.ceil(table["coverage"].to_numpy() * 10).astype(int)
    assert len(np.unique(classes)) == 11
    assert spread(classes, dealt, 5) <= 1
    assert spread(classes, folds.assign(table, SplitSettings(folds=5, by="depth")), 5) > 1


def test_depth_and_coverage_together() -> None:
    table = survey(2000)
    dealt = folds.assign(table, SplitSettings(folds=4, by="depth+coverage", bins=3))
    deep = np.searchsorted(np.quantile(table["depth"], [1 / 3, 2 / 3]), table["depth"])
    both = deep * 4 + np.ceil(table["coverage"].to_numpy() * 3).astype(int)
    assert len(np.unique(both)) == 12
    assert spread(both, dealt, 4) <= 1


def test_folds_do_not_depend_on_the_order_of_the_rows() -> None:
    table = survey(300)
    shuffled = table.sample(frac=1, random_state=1)
    for by in ("depth", "coverage", "depth+coverage", "random"):
        split = SplitSettings(by=by)
        first = dict(zip(table["id"], folds.assign(table, split), strict=True))
        assert first == dict(zip(shuffled["id"], folds.assign(shuffled, split), strict=True))


def test_folds_depend_on_the_seed_alone() -> None:
    table = survey(300)
    first = folds.assign(table, SplitSettings(seed=1))
    assert first.tolist() == folds.assign(table, SplitSettings(seed=1)).tolist()
    assert first.tolist() != folds.assign(table, SplitSettings(seed=2)).tolist()


def test_rare_classes_join_a_neighbour() -> None:
    # Coverage classes 0, 1, 2, 3 and 10 of 40, 3, 20, 2 and 1 tiles: {0}, {1, 2} and {3, 10} with {1, 2}.
    coverage = np.repeat([0.0, 0.05, 0.15, 0.25, 1.0], [40, 3, 20, 2, 1])
    table = pd.DataFrame({"id": [f"t{number:02d}" for number in range(66)], "depth": 100, "coverage": coverage})
    dealt = folds.assign(table, SplitSettings(folds=4, by="coverage"))
    merged = (coverage > 0).astype(int)
    assert spread(merged, dealt, 4) <= 1
    assert np.bincount(dealt[coverage == 0]).tolist() == [10, 10, 10, 10]


def test_a_rare_class_of_depth_and_coverage_joins_one_that_differs_by_one_step() -> None:
    # Shallow tiles without salt, then full ones; deep ones that are full, then without salt. The one shallow full tile
    # joins the deep full ones, which are fewer than the shallow empty ones.
    split = SplitSettings(folds=2, by="depth+coverage", bins=2)
    coverage = np.repeat([0.0, 1.0, 1.0, 0.0], [9, 1, 3, 7])
    depth = np.repeat([100, 200], 10)
    table = pd.DataFrame({"id": [f"t{number:02d}" for number in range(20)], "depth": depth, "coverage": coverage})
    for seed in range(10):
        dealt = folds.assign(table, msgspec.structs.replace(split, seed=seed))
        assert np.bincount(dealt[coverage == 1]).tolist() == [2, 2]


def test_there_may_be_as_many_folds_as_tiles() -> None:
    assert sorted(folds.assign(survey(5), SplitSettings(folds=5))) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match=r"5 labelled tiles cannot be dealt to 6 folds: lower split\.folds"):
        folds.assign(survey(5), SplitSettings(folds=6))


def test_the_fold_of_each_tile_is_in_the_order_of_the_tiles(tmp_path: Path) -> None:
    folds.write(tmp_path / "folds.csv", survey(4), np.array([1, 0, 0, 2]))
    assert folds.fold_of_tiles(tmp_path).tolist() == [1, 0, 0, 2]


def test_an_id_that_comes_twice_is_refused() -> None:
    table = survey(20)
    table.loc[3, "id"] = table.loc[7, "id"]
    with pytest.raises(UserError, match=str(table.loc[7, "id"])):
        folds.assign(table, SplitSettings())


def test_balance_describes_each_fold() -> None:
    table = pd.DataFrame({"id": list("abcd"), "depth": [100, 300, 50, 900], "coverage": [0.0, 0.5, 0.25, 0.75]})
    found = folds.balance(table, np.array([1, 1, 0, 1]))
    assert found["fold"].tolist() == [0, 1]
    assert found["tiles"].tolist() == [1, 3]
    assert found["empty"].tolist() == pytest.approx([0, 1 / 3])
    assert found["coverage"].tolist() == pytest.approx([0.25, 1.25 / 3])
    last = found.iloc[1]
    depths = [last[f"depth_{name}"] for name in ("mean", "min", "25", "50", "75", "max")]
    assert depths == pytest.approx([1300 / 3, 100, 200, 300, 600, 900])


def test_balance_text_is_aligned() -> None:
    table = survey(4000)
    lines = folds.balance_text(table, folds.assign(table, SplitSettings(folds=12))).splitlines()
    assert len(lines) == 14
    assert len({len(line) for line in lines[1:]}) == 1
    assert lines[1].split() == ["fold", "tiles", "empty", "coverage", "mean", "min", "25%", "50%", "75%", "max"]
    assert lines[-1].split()[:2] == ["11", "333"]


def test_folds_csv_round_trip(tmp_path: Path) -> None:
    table = survey(50).assign(other=1)
    table.loc[0, "id"] = "0012e3"  # neither a number nor missing, whatever it looks like
    table.loc[1, "id"] = "NA"
    dealt = folds.assign(table, SplitSettings())
    folds.write(tmp_path / "folds.csv", table, dealt)
    assert (tmp_path / "folds.csv").read_text().startswith("id,fold,depth,coverage\n")
    back = folds.read(tmp_path / "folds.csv")
    assert list(back.columns) == ["id", "fold", "depth", "coverage"]
    assert back["fold"].dtype == np.int64
    for name, column in (("id", table["id"]), ("fold", dealt), ("depth", table["depth"])):
        assert back[name].tolist() == list(column)
    assert back["coverage"].tolist() == table["coverage"].tolist()


def test_ids_that_look_like_numbers_stay_as_they_are(tmp_path: Path) -> None:
    table = survey(3).assign(id=["001", "1", "1e0"])
    folds.write(tmp_path / "folds.csv", table, np.array([0, 1, 0]))
    assert folds.read(tmp_path / "folds.csv")["id"].tolist() == ["001", "1", "1e0"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ("id,fold,depth\na,0,100\n", "'coverage' is missing"),
        ("id,fold,depth,coverage\na,0,100,0\na,1,100,0\n", "tile a comes more than once"),
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
