"""Assignments on the command line become values."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from pipeline import config
from pipeline.config import Settings, load


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("2018-10-01", "2018-10-01"),
        ("1.0", "1.0"),
        ("7", "7"),
        ("true", "true"),
        ("nan", "nan"),
        ("[x]", "[x]"),
        ('["x"]', '["x"]'),
        ("{a = 1}", "{a = 1}"),
        ("", ""),
        ('""', ""),
        ("two  words", "two  words"),
        ('"in quotes"', "in quotes"),
        ("'in single quotes'", "in single quotes"),
        ('"a \\"quote\\" inside"', 'a "quote" inside'),
        ('"half', '"half'),
        ('"one" and "two"', '"one" and "two"'),
        ('"one", "two"', '"one", "two"'),
        ('"one" # and "two"', '"one" # and "two"'),
        ("# one", "# one"),
        ('"a"]\nother = ["b"', '"a"]\nother = ["b"'),
        ("a=b", "a=b"),
    ],
)
def test_a_setting_of_type_text_takes_the_text_as_it_was_typed(typed: str, text: str):
    settings = load("unet", [f"submit.message={typed}", f"network.weights={typed}"])
    assert (settings.submit.message, settings.network.weights) == (text, text)
    assert msgspec.convert(tomllib.loads(config.to_toml(settings)), Settings) == settings


@pytest.mark.parametrize(
    ("text", "assignments"),
    [
        ("train.epochs=5  train.batch_size=16", ["train.epochs=5", "train.batch_size=16"]),
        ("submit.message=two words train.epochs=5", ["submit.message=two words", "train.epochs=5"]),
        ('submit.message="with train.epochs=5" split.seed=1', ['submit.message="with train.epochs=5"', "split.seed=1"]),
        ("predict.tta=[plain, flip] submit.rules=[]", ["predict.tta=[plain, flip]", "submit.rules=[]"]),
        ("  ", []),
    ],
)
def test_a_text_is_split_before_each_setting(text: str, assignments: list[str]):
    assert config.split_assignments(text) == assignments
