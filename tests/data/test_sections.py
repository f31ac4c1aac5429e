"""Sections: tiles are put together where their pairs agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.config import UserError
from pipeline.data.mosaic import Pairs, find_pairs
from pipeline.data.section_tables import labelled_neighbors, section_of, write_pairs, write_sections
from pipeline.data.sections import Sections, assemble
from tests.data.test_mosaic import COLUMNS, images

__all__ = ["images"]


def pairs(*rows: tuple[int, int, float]) -> Pairs:
    first, second, ratio = zip(*rows, strict=True) if rows else ((), (), ())
    return Pairs(np.array(first, np.int64), np.array(second, np.int64), np.array(ratio, np.float32))


def places(found: Sections) -> list[tuple[int, int, int]]:
    return list(zip(found.section.tolist(), found.row.tolist(), found.column.tolist(), strict=True))


def test_a_cut_picture_is_one_section_in_its_order(images: np.ndarray):
    order = np.random.default_rng(2).permutation(len(images))
    shuffled = images[order]
    found = assemble({axis: find_pairs(shuffled, axis, 0.5) for axis in ("vertical", "horizontal")}, len(shuffled))
    assert set(found.section) == {0}
    assert (found.row == order // COLUMNS).all()
    assert (found.column == order % COLUMNS).all()
    assert all(used.all() for used in found.used.values())


def test_the_largest_section_is_the_first_and_single_tiles_come_last():
    found = assemble({"vertical": pairs((5, 2, 0.1)), "horizontal": pairs((1, 3, 0.2), (3, 4, 0.1))}, 6)
    # Tile:            0          1          2          3          4          5
    assert places(found) == [(2, 0, 0), (0, 0, 0), (1, 1, 0), (0, 0, 1), (0, 0, 2), (1, 0, 0)]


def test_of_two_pairs_that_contradict_each_other_the_more_certain_one_counts():
    # 0 above 1, 1 beside 2; then 0 beside 2 would put tile 2 elsewhere.
    found = assemble({"vertical": pairs((0, 1, 0.1)), "horizontal": pairs((1, 2, 0.2), (0, 2, 0.3))}, 3)
    assert places(found) == [(0, 0, 0), (0, 1, 0), (0, 1, 1)]
    assert found.used["horizontal"].tolist() == [True, False]
    # 0 beside 1 and 2 beside 1: one of 0 and 2 is wrong, they cannot both be left of tile 1.
    found = assemble({"vertical": pairs(), "horizontal": pairs((0, 1, 0.4), (2, 1, 0.1))}, 3)
    assert found.used["horizontal"].tolist() == [False, True]
    assert found.section.tolist() == [1, 0, 0]


def test_copies_are_in_the_place_of_their_original():
    found = assemble({"vertical": pairs((1, 2, 0.1)), "horizontal": pairs()}, 5, np.array([0, 1, 2, 1, 0]))
    assert places(found) == [(1, 0, 0), (0, 0, 0), (0, 1, 0), (0, 0, 0), (1, 0, 0)]


def test_without_pairs_every_tile_is_its_own_section():
    assert places(assemble({"vertical": pairs(), "horizontal": pairs()}, 3)) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


def test_the_tables_are_read_as_they_were_written(tmp_path: Path):
    found = {"vertical": pairs((2, 0, 0.25)), "horizontal": pairs((0, 1, 0.1))}
    sections = assemble(found, 3)
    ids = ["nan", "b", "c"]
    write_pairs(tmp_path / "pairs.csv", ids, found, sections)
    write_sections(tmp_path / "sections.csv", ids, sections)
    assert (tmp_path / "pairs.csv").read_text() == (
        "first,second,axis,ratio,used\nnan,b,horizontal,0.1,1\nc,nan,vertical,0.25,1\n"
    )
    assert (tmp_path / "sections.csv").read_text() == "id,section,row,column\nnan,0,1,0\nb,0,1,1\nc,0,0,0\n"
    assert section_of(tmp_path / "sections.csv", ["c", "nan"]).tolist() == [0, 0]
    with pytest.raises(UserError, match="run the mosaic stage again"):
        section_of(tmp_path / "sections.csv", ["d"])
    pd.DataFrame({"id": ["c"]}).to_csv(tmp_path / "sections.csv", index=False)
    with pytest.raises(UserError, match="run the mosaic stage again"):
        section_of(tmp_path / "sections.csv", ["c"])


def test_labelled_neighbours_are_those_of_vertical_pairs_that_agree_with_the_sections(tmp_path: Path):
    # a above b above c, b beside d, f above d; that nan is above d contradicts the sections.
    found = {"vertical": pairs((0, 1, 0.1), (1, 2, 0.2), (4, 3, 0.4), (5, 3, 0.3)), "horizontal": pairs((1, 3, 0.1))}
    ids = ["a", "b", "c", "d", "nan", "f"]
    sections = assemble(found, 6)
    sections.used["vertical"][2] = False
    write_pairs(tmp_path / "pairs.csv", ids, found, sections)
    masks = np.zeros((3, 2, 2), np.uint8)
    around = labelled_neighbors(tmp_path / "pairs.csv", ["nan", "d", "c", "b"], ["b", "f", "c"], masks)
    assert around.above.tolist() == [-1, 1, 0, -1]
    assert around.below.tolist() == [-1, -1, -1, 2]
    assert around.own.tolist() == [-1, -1, 2, 0]
    assert around.masks is masks
    (tmp_path / "pairs.csv").write_text("first,second\n")
    with pytest.raises(UserError, match="run the mosaic stage again"):
        labelled_neighbors(tmp_path / "pairs.csv", ["a"], ["b"], masks)
