"""Records of uploads: how their scores are shown."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.submission.uploads import Upload


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ({"status": "complete", "public": 0.0, "private": 0.5}, "public 0.00000, private 0.50000"),
        ({"status": "complete", "public": 0.25, "private": 0.0}, "public 0.25000, private 0.00000"),
        ({"status": "complete", "public": 0.25}, "public 0.25000"),
        ({"status": "complete"}, "scored, but the scores are not shown"),
        ({"status": "pending"}, "no score yet"),
        ({"status": "error", "error": "ids"}, "Kaggle could not score it: ids"),
    ],
)
def test_a_score_of_zero_is_a_score(known: dict[str, Any], shown: str):
    assert Upload(mark="a", experiment="unet", ref=1, date="", message="", **known).scores == shown
