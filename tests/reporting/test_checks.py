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
    text, constant = checks.of_score(result.as_dict())
    assert constant.startswith("folds 1, 2: one and the same probability")
    assert "CV 0.3333 is not above 0.3333, the score of predicting no salt in any tile" in text
    right = validate([truth * 255], truth, images, np.arange(30) % 3, SubmitSettings())
    assert checks.of_score(right.as_dict()) == []


def test_a_score_below_that_of_predicting_nothing_causes_a_warning():
    assert checks.of_score({"score": 0.38, "nothing": 0.39})
    assert not checks.of_score({"score": 0.40, "nothing": 0.39})
    assert not checks.of_score({"score": 1.0, "nothing": 1.0})  # no tile has salt
    assert checks.of_score({"score": 0.3, "nothing": 1.0})
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
    ("salt", "tiles", "warns"),
    [
        (0.25, 18_000, False),
        (0.13, 18_000, False),
        (0.49, 18_000, False),
        (0.12, 18_000, True),
        (0.51, 18_000, True),
        # Twelve tiles may have any coverage.
        (0.12, 12, False),
        (0.51, 12, False),
        (0.9, 12, True),
    ],
)
def test_a_coverage_of_the_test_tiles_far_from_trainings_causes_a_warning(salt: float, tiles: int, warns: bool):
    result = {"tiles": tiles, "tiles_with_salt": tiles // 2, "salt": salt, "cv": {"score": 0.7, "coverage": 0.25}}
    texts = checks.of_submission(result)
    assert bool(texts) == warns
    if warns:
        assert f"salt in {salt:.1%} of all pixels of the test tiles, far from the 25.0% of the labelled" in texts[0]
    assert checks.of_submission({**result, "cv": {"score": 0.7}}) == []  # written by an earlier version


@pytest.mark.parametrize(
    ("folds", "tiles", "low"),
    [
        ([0.78, 0.77, 0.79, 0.78, 0.76], 4000, []),
        ([0.78, 0.77, 0.79, 0.78, 0.70], 4000, [4]),
        ([0.78, 0.10, 0.79, 0.78, 0.77], 4000, [1]),
        ([0.78, 0.74], 4000, []),
        # Of forty tiles each, folds differ that much by chance.
        ([0.65, 0.60, 0.50], 120, []),
        ([0.65, 0.60, 0.20], 120, [2]),
        ([0.2], 40, []),
    ],
)
def test_a_fold_far_below_the_others_causes_a_warning(folds: list[float], tiles: int, low: list[int]):
    cv = {"score": 0.7, "folds": {str(fold): score for fold, score in enumerate(folds)}, "tiles": tiles}
    texts = checks.of_score(cv)
    assert [int(text.split()[1]) for text in texts] == low
    assert all("far below the" in text and "learning curve in the report" in text for text in texts)
    # The seed belongs to the whole experiment: a fold that is trained with another one fits the others no longer.
    assert not any("make clean-train" in text for text in texts)


@pytest.mark.parametrize(
    ("predicted", "coverage", "warns"), [(0.97, 0.25, True), (1.0, 0.4, True), (0.94, 0.25, False), (0.97, 0.96, False)]
)
def test_salt_everywhere_in_the_labelled_tiles_causes_a_warning(predicted: float, coverage: float, warns: bool):
    texts = checks.of_score({"score": 0.7, "nothing": 0.1, "predicted": predicted, "coverage": coverage})
    assert [f"salt is predicted in {predicted:.0%} of all pixels" in text for text in texts] == [True] * warns


def test_constant_probabilities_of_a_fold_cause_a_warning():
    images, truth = blobs(30)
    folds = np.arange(30) % 3
    probabilities = np.where((folds == 1)[:, None, None], np.uint8(0), truth * np.uint8(255))
    result = validate([probabilities], truth, images, folds, SubmitSettings())
    assert result.constant_folds == (1,)
    assert result.coverage == pytest.approx(truth.mean())
    assert result.predicted == pytest.approx((truth * (folds != 1)[:, None, None]).mean())
    texts = checks.of_score(result.as_dict())
    assert any(text.startswith("fold 1: one and the same probability in every pixel") for text in texts)
    assert any(text.startswith("fold 1 scores") for text in texts)
    assert checks.of_score({"score": 0.5, "constant_folds": [0, 2]})[0].startswith("folds 0, 2: ")


@pytest.mark.parametrize(
    ("votes", "member"), [({"a": 1}, None), ({"a": 1, "b": 0}, "a"), ({"a": 1, "b": 2}, None), ({}, None)]
)
def test_a_blend_with_all_the_weight_on_one_member_is_that_member(votes: dict[str, int], member: str | None):
    assert checks.sole_member(votes) == member
