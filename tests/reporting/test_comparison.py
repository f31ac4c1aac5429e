"""Which differences between experiments are significant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.reporting import comparison, leaderboard_entries
from pipeline.reporting.leaderboard_entries import TileScore


def test_an_experiment_is_better_worse_or_not_significantly_different(root: Path):
    entries = {entry.row["experiment"]: entry.scores for entry in leaderboard_entries.read(root)}

    def verdict(one: str, other: str) -> str:
        return str(comparison.difference(entries[one], entries[other]))

    assert verdict("good", "bad").startswith("better: +0.")
    assert verdict("bad", "good").startswith("worse: -0.")
    assert verdict("good", "nearly-good").startswith("no significant difference")
    assert str(comparison.difference(entries["good"], {"other": TileScore(1.0, 0)})) == "no tile in common"


def test_a_paired_difference_is_significant_where_the_means_intervals_overlap():
    draw = np.random.default_rng(1)
    scores = draw.integers(0, 11, 600) / 10
    lifted = np.where(draw.random(600) < 0.2, np.minimum(scores + 0.1, 1), scores).round(1)
    mean, low, high, tiles = comparison.difference(in_folds(lifted, 1), in_folds(scores, 1))
    assert tiles == 600
    assert 0 < low < mean < high < 0.03


def in_folds(scores: np.ndarray, folds: int) -> dict[str, TileScore]:
    return {str(index): TileScore(score, index % folds) for index, score in enumerate(scores)}


def test_a_difference_that_scatters_over_folds_more_than_over_tiles_is_not_significant():
    draw = np.random.default_rng(2)
    scores = draw.integers(2, 9, 3000) / 10
    # The trainings of two of five folds went well: every second tile gains 0.1 there.
    lucky = np.isin(np.arange(3000) % 5, [1, 3]) & (draw.random(3000) < 0.5)
    lifted = (scores + 0.1 * lucky).round(1)
    assert comparison.difference(in_folds(lifted, 2), in_folds(scores, 2)).word == "better"
    found = comparison.difference(in_folds(lifted, 5), in_folds(scores, 5))
    assert found.mean == pytest.approx(0.02, abs=0.002)
    # Student's t with four degrees of freedom: 2.776 standard errors of the mean of five folds.
    assert found.high - found.mean == pytest.approx(2.776 * np.std([0, 0, 0, 0.05, 0.05], ddof=1) / 5**0.5, rel=0.1)
    assert found.word == "no significant difference"
    # Other folds: the tiles of one fold do not share a training with those of any other.
    other = {name: TileScore(each.score, (each.fold + int(name) % 3) % 5) for name, each in in_folds(scores, 5).items()}
    assert comparison.difference(in_folds(lifted, 5), other).word == "better"


def test_the_same_gain_in_every_fold_is_judged_by_its_tiles():
    draw = np.random.default_rng(3)
    scores = draw.integers(2, 9, 300) / 10
    lifted = (scores + 0.1 * (np.arange(300) // 5 % 10 == 0)).round(1)  # in each fold every tenth tile
    one, many = (comparison.difference(in_folds(lifted, n), in_folds(scores, n)) for n in (1, 5))
    assert one == many
    assert one.word == "better"


def test_the_matrix_has_a_row_and_a_column_per_experiment_of_a_dataset(root: Path):
    (name, rows), *others = comparison.matrices(leaderboard_entries.read(root)).items()
    assert (name, others) == ("demo", [])
    for row in rows:
        assert row[f"against {row['experiment']}"] == ""
        assert len(row) == 1 + len(rows)
    assert comparison.matrices(leaderboard_entries.read(root)[:1]) == {}
