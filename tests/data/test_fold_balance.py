"""The summary of each fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.config import SplitSettings
from pipeline.data.fold_balance import balance, balance_text
from pipeline.data.stratify import assign_folds
from tests.data.helpers import labelled_tiles


def test_balance_describes_each_fold() -> None:
    table = pd.DataFrame({"id": list("abcd"), "depth": [100, 300, 50, 900], "coverage": [0.0, 0.5, 0.25, 0.75]})
    found = balance(table, np.array([1, 1, 0, 1]))
    assert found["fold"].tolist() == [0, 1]
    assert found["tiles"].tolist() == [1, 3]
    assert found["empty"].tolist() == pytest.approx([0, 1 / 3])
    assert found["coverage"].tolist() == pytest.approx([0.25, 1.25 / 3])
    last = found.iloc[1]
    depths = [last[f"depth_{name}"] for name in ("mean", "min", "25", "50", "75", "max")]
    assert depths == pytest.approx([1300 / 3, 100, 200, 300, 600, 900])


def test_balance_text_is_aligned() -> None:
    table = labelled_tiles(4000)
    lines = balance_text(table, assign_folds(table, SplitSettings(folds=12))).splitlines()
    assert len(lines) == 14
    assert len({len(line) for line in lines[1:]}) == 1
    assert lines[1].split() == ["fold", "tiles", "empty", "coverage", "mean", "min", "25%", "50%", "75%", "max"]
    assert lines[-1].split()[:2] == ["11", "333"]
