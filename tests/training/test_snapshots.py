"""Which epochs are kept, and when a training stops early, from the scores of its epochs."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import TrainSettings
from pipeline.training.history import best_row, stops_early
from pipeline.training.snapshots import is_kept, kept_epochs, kept_rows

SCORES = [0.5, 0.1, 0.3, 0.3, 0.2, 0.4]
ONE = TrainSettings(epochs=6)
TWO_OF_THREE = TrainSettings(epochs=6, schedule="cosine_restarts", cycles=3, snapshots=2)
LAST = TrainSettings(epochs=6, keep="last")
LAST_OF_EACH = TrainSettings(epochs=6, schedule="cosine_restarts", cycles=3, snapshots=2, keep="last")


def rows(*scores: float) -> list[dict[str, Any]]:
    return [{"epoch": number, "score": score} for number, score in enumerate(scores, start=1)]


def test_the_best_row_is_the_first_with_the_best_score():
    assert best_row(rows(0.1, 0.4, 0.4, 0.2))["epoch"] == 2


def test_training_stops_after_the_patience_without_a_better_score():
    assert not stops_early(rows(0.4, 0.1), 2)
    assert stops_early(rows(0.4, 0.1, 0.4), 2)
    assert not stops_early(rows(0.4, 0.1, 0.5), 2)
    assert not stops_early(rows(0.4, 0.1, 0.1, 0.1), 0)
    assert not stops_early([], 2)


@pytest.mark.parametrize(("train", "kept"), [(ONE, [0]), (TWO_OF_THREE, [2, 5])])
def test_the_best_epoch_of_the_run_or_of_each_of_the_last_cycles_is_kept(train: TrainSettings, kept: list[int]):
    assert kept_epochs(train, rows(*SCORES)) == kept
    assert [row["epoch"] - 1 for row in kept_rows(train, rows(*SCORES))] == kept


def test_the_short_cycles_after_a_long_one_are_kept():
    train = TrainSettings(epochs=6, schedule="cosine_restarts", cycles=3, snapshots=2, first_cycle=0.65, keep="last")
    assert kept_epochs(train, rows(*SCORES)) == [4, 5]


def test_cycles_that_have_not_started_keep_nothing():
    assert kept_epochs(TWO_OF_THREE, rows(*SCORES[:2])) == []
    assert kept_epochs(TWO_OF_THREE, rows(*SCORES[:3])) == [2]


@pytest.mark.parametrize(
    ("train", "best"),
    [
        (ONE, [True, False, False, False, False, False]),
        (TWO_OF_THREE, [False, False, True, False, True, True]),
    ],
)
def test_an_epoch_is_best_if_no_earlier_one_of_its_cycle_has_its_score(train: TrainSettings, best: list[bool]):
    found = [is_kept(train, rows(*SCORES[:epoch]), epoch, score) for epoch, score in enumerate(SCORES)]
    assert found == best


@pytest.mark.parametrize(("train", "kept"), [(LAST, [5]), (LAST_OF_EACH, [3, 5])])
def test_no_score_decides_which_epoch_is_kept_where_it_is_the_last(train: TrainSettings, kept: list[int]):
    for scores in (SCORES, SCORES[::-1]):
        assert kept_epochs(train, rows(*scores)) == kept
        found = [is_kept(train, rows(*scores[:epoch]), epoch, score) for epoch, score in enumerate(scores)]
        assert [epoch for epoch, keep in enumerate(found) if keep] == kept
    # Before the end nothing is kept of a range whose last epoch is not done.
    assert kept_epochs(train, rows(*SCORES[:5])) == kept[:-1]
