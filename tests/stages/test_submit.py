"""The message that goes with a CSV to Kaggle."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import config
from pipeline.artifacts import Layout
from pipeline.stages import submit


@pytest.mark.parametrize("typed", ["2018-10-01", "1.0", "[x]", "two  words", "a#b"])
def test_the_message_to_kaggle_holds_exactly_what_was_typed(tmp_path: Path, typed: str):
    settings = config.load("unet", [f"submit.message={typed}"])
    layout = Layout(tmp_path, "tgs", "unet", settings)
    assert submit.message(layout, tuple(layout.folds), 0.5, "mark") == f"unet CV 0.5000 {typed} mark"


def test_the_message_to_kaggle_is_one_line(tmp_path: Path):
    layout = Layout(tmp_path, "tgs", "unet", config.load("unet", ['submit.message="one\\ntwo "']))
    assert submit.message(layout, tuple(layout.folds), 0.5, "mark") == "unet CV 0.5000 one two mark"
