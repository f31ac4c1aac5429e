"""Folds are complete, balanced and repeatable."""

from __future__ import annotations

import warnings

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import SplitSettings, UserError
from pipeline.data.stratify import assign_folds
from tests.data.helpers import labelled_tiles

PROPERTY = settings(deadline=None, max_examples=60)


def spread(classes: np.ndarray, fold_of: np.ndarray, count: int) -> int:
    """Largest difference between two folds in the number of tiles of one class."""
    table = [np.bincount(fold_of[classes == each], minlength=count) for each in np.unique(classes)]
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
    table = labelled_tiles(tiles)
    table["depth"] %= depths
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if tiles < count:
            with pytest.raises(UserError, match=f"{tiles} labelled tiles cannot be split into {count} folds"):
                assign_folds(table, split)
            return
        fold_of = assign_folds(table, split)
    sizes = np.bincount(fold_of, minlength=count)
    assert len(sizes) == count
    assert np.ptp(sizes) <= 1
    assert sizes.sum() == tiles


def test_depth_classes_are_alike_in_all_folds() -> None:
    table = labelled_tiles(1003)
    table["depth"] = np.random.default_rng(3).permutation(1003)
    fold_of = assign_folds(table, SplitSettings(folds=5, by="depth", bins=10))
    deciles = np.searchsorted(np.quantile(table["depth"], np.arange(1, 10) / 10), table["depth"])
    assert len(np.unique(deciles)) == 10
    assert spread(deciles, fold_of, 5) <= 1
    at_random = assign_folds(table, SplitSettings(folds=5, by="random"))
    assert spread(deciles, at_random, 5) > 1


def test_coverage_classes_are_alike_in_all_folds() -> None:
    table = labelled_tiles(1003)
    table.loc[:9, "coverage"] = 1.0
    fold_of = assign_folds(table, SplitSettings(folds=5, by="coverage", bins=10))
    classes = np.ceil(table["coverage"].to_numpy() * 10).astype(int)
    assert len(np.unique(classes)) == 11
    assert spread(classes, fold_of, 5) <= 1
    assert spread(classes, assign_folds(table, SplitSettings(folds=5, by="depth")), 5) > 1


def test_depth_and_coverage_together() -> None:
    table = labelled_tiles(2000)
    fold_of = assign_folds(table, SplitSettings(folds=4, by="depth+coverage", bins=3))
    deep = np.searchsorted(np.quantile(table["depth"], [1 / 3, 2 / 3]), table["depth"])
    both = deep * 4 + np.ceil(table["coverage"].to_numpy() * 3).astype(int)
    assert len(np.unique(both)) == 12
    assert spread(both, fold_of, 4) <= 1


def test_folds_do_not_depend_on_the_order_of_the_rows() -> None:
    table = labelled_tiles(300)
    shuffled = table.sample(frac=1, random_state=1)
    for by in ("depth", "coverage", "depth+coverage", "random"):
        split = SplitSettings(by=by)
        first = dict(zip(table["id"], assign_folds(table, split), strict=True))
        assert first == dict(zip(shuffled["id"], assign_folds(shuffled, split), strict=True))


def test_folds_depend_on_the_seed_alone() -> None:
    table = labelled_tiles(300)
    first = assign_folds(table, SplitSettings(seed=1))
    assert first.tolist() == assign_folds(table, SplitSettings(seed=1)).tolist()
    assert first.tolist() != assign_folds(table, SplitSettings(seed=2)).tolist()


def test_rare_classes_join_a_neighbour() -> None:
    # Coverage classes 0, 1, 2, 3 and 10 of 40, 3, 20, 2 and 1 tiles: {0}, {1, 2} and {3, 10} with {1, 2}.
    coverage = np.repeat([0.0, 0.05, 0.15, 0.25, 1.0], [40, 3, 20, 2, 1])
    table = pd.DataFrame({"id": [f"t{number:02d}" for number in range(66)], "depth": 100, "coverage": coverage})
    fold_of = assign_folds(table, SplitSettings(folds=4, by="coverage"))
    merged = (coverage > 0).astype(int)
    assert spread(merged, fold_of, 4) <= 1
    assert np.bincount(fold_of[coverage == 0]).tolist() == [10, 10, 10, 10]


def test_a_rare_class_of_depth_and_coverage_joins_one_that_differs_by_one_step() -> None:
    # Shallow tiles without salt, then full ones; deep ones that are full, then without salt. The one shallow full tile
    # joins the deep full ones, which are fewer than the shallow empty ones.
    split = SplitSettings(folds=2, by="depth+coverage", bins=2)
    coverage = np.repeat([0.0, 1.0, 1.0, 0.0], [9, 1, 3, 7])
    depth = np.repeat([100, 200], 10)
    table = pd.DataFrame({"id": [f"t{number:02d}" for number in range(20)], "depth": depth, "coverage": coverage})
    for seed in range(10):
        fold_of = assign_folds(table, msgspec.structs.replace(split, seed=seed))
        assert np.bincount(fold_of[coverage == 1]).tolist() == [2, 2]


def test_there_may_be_as_many_folds_as_tiles() -> None:
    assert sorted(assign_folds(labelled_tiles(5), SplitSettings(folds=5))) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match=r"5 labelled tiles cannot be split into 6 folds: lower split\.folds"):
        assign_folds(labelled_tiles(5), SplitSettings(folds=6))


def test_an_id_that_comes_twice_is_refused() -> None:
    table = labelled_tiles(20)
    table.loc[3, "id"] = table.loc[7, "id"]
    with pytest.raises(UserError, match=str(table.loc[7, "id"])):
        assign_folds(table, SplitSettings())


def test_a_group_is_in_one_fold_and_depths_stay_balanced() -> None:
    table = labelled_tiles(600)
    groups = np.random.default_rng(4).integers(0, 200, 600)
    split = SplitSettings(folds=5, group="mosaic")
    fold_of = assign_folds(table, split, groups)
    assert all(len(set(fold_of[groups == group])) == 1 for group in np.unique(groups))
    assert set(fold_of) == set(range(5))
    assert np.ptp(np.bincount(fold_of)) <= 30
    means = [table["depth"].to_numpy()[fold_of == fold].mean() for fold in range(5)]
    assert np.ptp(means) < 0.1 * table["depth"].mean()
    # The same tiles in another order get the same folds.
    order = np.random.default_rng(5).permutation(600)
    assert (assign_folds(table.iloc[order], split, groups[order]) == fold_of[order]).all()


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(UserError, match="3 sections cannot be split into 5 folds"):
        assign_folds(labelled_tiles(60), SplitSettings(folds=5, group="mosaic"), np.arange(60) % 3)
