"""Bootstrap intervals of a mean score and of a paired difference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from pipeline.scoring import bootstrap


def test_bootstrap_is_the_spread_of_a_mean() -> None:
    scores = np.random.default_rng(1).integers(0, 11, 1000) / 10
    low, high = bootstrap.interval(scores, 0)
    error = scores.std() / np.sqrt(len(scores))
    assert low == pytest.approx(scores.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(scores.mean() + 1.96 * error, abs=0.2 * error)
    assert bootstrap.interval(scores, 0) == (low, high)
    assert bootstrap.interval(scores, 1) != (low, high)
    narrow = bootstrap.interval(scores, 0, level=0.5)
    assert low < narrow[0] < narrow[1] < high
    assert bootstrap.interval(np.full(5, 0.3), 0) == pytest.approx((0.3, 0.3))
    with pytest.raises(ValueError, match="bootstrap of 0 scores"):
        bootstrap.interval(np.array([]), 0)
    for level in (0, 1, -0.5, 1.5):
        with pytest.raises(ValueError, match=f"at level {level}"):
            bootstrap.interval(scores, 0, level=level)


def test_a_paired_difference_has_a_narrower_interval_than_the_means() -> None:
    draw = np.random.default_rng(1)
    scores = draw.integers(0, 11, 600) / 10
    lifted = np.where(draw.random(600) < 0.2, np.minimum(scores + 0.1, 1), scores).round(1)
    mean, low, high = bootstrap.paired(lifted, scores)
    assert mean == pytest.approx((lifted - scores).mean())
    assert 0 < low < mean < high < 0.03
    assert bootstrap.interval(lifted)[0] < scores.mean()
    narrow = bootstrap.paired(lifted, scores, level=0.5)
    assert low < narrow.low < narrow.high < high
    # The same in the other direction, and from plain lists.
    reverse = bootstrap.paired(scores.tolist(), lifted.tolist())
    assert reverse.mean == -mean
    assert reverse.high < 0
    assert bootstrap.paired(scores, scores) == (0, 0, 0)


def test_differences_that_are_equal_in_tenths_are_equal() -> None:
    one, other = np.array([0.3, 0.8, 0.9, 0.4]), np.array([0.2, 0.7, 0.8, 0.3])
    assert len(np.unique(one - other)) > 1
    assert bootstrap.paired(one, other) == (0.1, 0.1, 0.1)


def test_halves_complement_each_other() -> None:
    even, odd = bootstrap.halves(5)
    assert even.tolist() == [True, False, True, False, True]
    assert (even != odd).all()


def test_the_interval_over_groups_is_students() -> None:
    draw = np.random.default_rng(4)
    groups = np.arange(500) % 5
    found = np.round(draw.normal(0.01, 0.1, 500) + 0.02 * groups, 1)
    wanted = ttest_1samp([found[groups == group].mean() for group in range(5)], 0).confidence_interval(0.9)
    assert bootstrap.over_groups(found, groups, level=0.9) == pytest.approx((found.mean(), wanted.low, wanted.high))
    with pytest.raises(ValueError, match="over 1 groups: give two or more"):
        bootstrap.over_groups(found, np.zeros(500, int))
