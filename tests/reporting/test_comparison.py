"""Which differences between experiments are significant."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.reporting import comparison, leaderboard_entries


def test_an_experiment_is_better_worse_or_not_significantly_different(root: Path):
    entries = {entry.row["experiment"]: entry.scores for entry in leaderboard_entries.read(root)}

    def verdict(one: str, other: str) -> str:
        return str(comparison.difference(entries[one], entries[other]))

    assert verdict("good", "bad").startswith("better: +0.")
    assert verdict("bad", "good").startswith("worse: -0.")
    assert verdict("good", "nearly-good").startswith("no difference that shows")
    assert str(comparison.difference(entries["good"], {"other": 1.0})) == "no tile in common"


def test_a_paired_difference_is_significant_where_the_means_intervals_overlap():
    draw = np.random.default_rng(1)
    scores = draw.integers(0, 11, 600) / 10
    lifted = np.where(draw.random(600) < 0.2, np.minimum(scores + 0.1, 1), scores).round(1)
    mean, low, high, tiles = comparison.difference(
        {str(index): score for index, score in enumerate(lifted)},
        {str(index): score for index, score in enumerate(scores)},
    )
    assert tiles == 600
    assert 0 < low < mean < high < 0.03


def test_the_matrix_has_a_row_and_a_column_per_experiment_of_a_dataset(root: Path):
    (name, rows), *others = comparison.matrices(leaderboard_entries.read(root)).items()
    assert (name, others) == ("demo", [])
    for row in rows:
        assert row[f"against {row['experiment']}"] == ""
        assert len(row) == 1 + len(rows)
    assert comparison.matrices(leaderboard_entries.read(root)[:1]) == {}
