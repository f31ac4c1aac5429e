"""Settings of an experiment: defaults, bases, its file, overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import config
from pipeline.config import Settings, load


def test_the_default_experiment_is_the_defaults():
    assert load("unet") == Settings()


def test_an_experiment_has_the_settings_that_differ_from_its_base(experiments: Path):
    (experiments / "plain.toml").write_text("[train]\nepochs = 3\nbatch_size = 4\n")
    (experiments / "wide.toml").write_text('base = "plain"\n[network]\nwidth = 64\n[train]\nbatch_size = 2\n')
    (experiments / "wider.toml").write_text('base = "wide"\n[network]\nlevels = 2\n')
    settings = load("wider", ["train.batch_size=1"])
    assert (settings.train.epochs, settings.network.width, settings.network.levels) == (3, 64, 2)
    assert (settings.train.batch_size, load("wider").train.batch_size) == (1, 2)


def test_an_override_changes_one_value():
    settings = load("unet", ["train.epochs=7", "split.by=coverage", "network.dropout=[0.1, 0.2]"])
    assert (settings.train.epochs, settings.split.by, settings.network.dropout) == (7, "coverage", (0.1, 0.2))
    assert {*config.differences(settings, load("unet"))} == {"train.epochs", "split.by", "network.dropout"}


@pytest.mark.parametrize("text", ['["flip", "plain"]', "['plain','flip']", "[plain,flip]", "[flip, plain]"])
def test_a_list_of_names_in_any_order_and_with_any_quotes_is_the_same_setting(text: str):
    assert load("unet", [f"predict.tta={text}"]) == load("unet")
