"""The reference of the settings: what ``settings`` prints, and the page ``docs/settings.md``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import config
from pipeline.cli.main import main
from pipeline.cli.settings_list import listing
from pipeline.config import UserError, reference

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_up_to_date():
    command = "python -m pipeline settings --markdown > docs/settings.md"
    assert PAGE.read_text(encoding="utf-8") == reference.markdown(), f"write it again: {command}"


def test_the_command_writes_the_page(capsys: pytest.CaptureFixture[str]):
    assert main(["settings", "--markdown"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(encoding="utf-8")


def test_every_setting_is_listed_with_its_meaning_and_its_range():
    listed = {each.key: each for each in reference.settings()}
    assert list(listed) == [
        f"{section}.{name}" for section, own in config.as_dict(config.load()).items() for name in own
    ]
    assert [key for key, each in listed.items() if not each.meaning.endswith((".", ")"))] == []
    assert [section for section, meaning in reference.sections().items() if not meaning.endswith(".")] == []
    epochs = listed["train.epochs"]
    assert (epochs.default, epochs.values) == (48, "a whole number from 1 to 1000000")
    assert epochs.meaning == "Passes over the training tiles."


def test_the_values_are_those_of_the_experiment_and_of_the_command():
    lines = [*listing("demo", ["train.seed=7"], ["split", "train.seed"])]
    assert [line for line in lines if " = " in line] == [
        "  split.folds = 3  (default 5)",
        '  split.by = "depth"',
        "  split.bins = 10",
        "  split.seed = 0",
        '  split.group = "none"',
        "  split.mosaic_ratio = 0.5",
        "  train.seed = 7  (default 0)",
    ]
    assert lines[0] == "[split] How labelled tiles are split into folds."
    assert max(map(len, lines)) <= 120
    assert not any("``" in line for line in listing("unet", [], []))


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"no section or setting 'train\.epoch' \(did you mean 'train\.epochs'\?\)"):
        [*listing("unet", [], ["train.epoch"])]
