"""Labelled tiles that are left out of training."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from pipeline.data.exclusion import excluded

AREAS = (0, 1, 24, 25, 0, 5000)


@pytest.mark.parametrize(
    ("kinds", "rows"),
    [
        ((), []),
        (("constant",), [4]),
        (("tiny",), [1, 2]),  # not the empty tiles
        (("constant", "tiny"), [1, 2, 4]),
    ],
)
def test_tiles_of_each_kind_are_excluded(kinds: Any, rows: list[int]):
    table = pd.DataFrame({"coverage": [area / 101**2 for area in AREAS], "constant": [row == 4 for row in range(6)]})
    assert [*excluded(table, kinds).nonzero()[0]] == rows
