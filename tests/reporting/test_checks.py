"""Warnings about results that are valid but worth nothing."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import SubmitSettings
from pipeline.reporting import checks
from pipeline.scoring.validation import validate
from tests.conftest import blobs


def test_the_score_of_predicting_nothing_is_the_share_of_empty_tiles():
    images, truth = blobs(30)
    result = validate([np.zeros_like(truth)], truth, images, np.arange(30) % 3, SubmitSettings())
    assert result.nothing == pytest.approx(1 / 3)
    assert result.score == result.nothing
    (text,) = checks.of_score(result.as_dict())
    assert "CV 0.3333 is not above 0.3333, the score of predicting no salt in any tile" in text
    right = validate([truth * 255], truth, images, np.arange(30) % 3, SubmitSettings())
    assert checks.of_score(right.as_dict()) == []


def test_a_score_below_that_of_predicting_nothing_causes_a_warning():
    assert checks.of_score({"score": 0.38, "nothing": 0.39})
    assert not checks.of_score({"score": 0.40, "nothing": 0.39})
    assert not checks.of_score({"score": 0.0})  # written by an earlier version


@pytest.mark.parametrize(
    ("tiles", "salted", "salt", "nothing", "message"),
    [
        (100, 0, 0.0, 0.4, "predicts no salt in any of the 100 test tiles"),
        (100, 100, 1.0, 0.0, "predicts salt in every pixel of the 100 test tiles"),
        (100, 100, 0.3, 0.4, "predicts salt in every one of the 100 test tiles, though 40% of the labelled tiles"),
        (100, 100, 0.3, 0.0, ""),
        (2, 2, 0.3, 0.4, ""),
        (100, 60, 0.3, 0.4, ""),
    ],
)
def test_a_csv_without_salt_or_with_salt_everywhere_causes_a_warning(
    tiles: int, salted: int, salt: float, nothing: float, message: str
):
    result = {"tiles": tiles, "tiles_with_salt": salted, "salt": salt, "cv": {"score": 0.5, "nothing": nothing}}
    texts = checks.of_submission(result)
    assert (message in texts[0]) if message else not texts


@pytest.mark.parametrize(
    ("votes", "member"), [({"a": 1}, None), ({"a": 1, "b": 0}, "a"), ({"a": 1, "b": 2}, None), ({}, None)]
)
def test_a_blend_with_all_the_weight_on_one_member_is_that_member(votes: dict[str, int], member: str | None):
    assert checks.sole_member(votes) == member
