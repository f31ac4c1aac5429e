"""Settings: what a user may write, and what they are told when it is wrong."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from pipeline import config
from pipeline.config import Settings, UserError, load


def test_every_experiment_loads_and_says_what_it_shows():
    assert {"unet", "demo", "article", "paper", "kernel", "notebook"} <= set(config.experiment_names())
    for name in config.experiment_names():
        load(name)
        assert (config.EXPERIMENTS / f"{name}.toml").read_text(encoding="utf-8").startswith("# ")


def test_the_default_experiment_is_the_defaults():
    assert load("unet") == Settings()


def test_an_assignment_changes_one_value():
    settings = load("unet", ["train.epochs=7", "split.by=coverage", "network.dropout=[0.1, 0.2]"])
    assert (settings.train.epochs, settings.split.by, settings.network.dropout) == (7, "coverage", (0.1, 0.2))
    assert {*config.differences(settings, load("unet"))} == {"train.epochs", "split.by", "network.dropout"}


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("train.epocs=5", "did you mean 'epochs'"),
        ("trian.epochs=5", "did you mean 'train'"),
        ("train.epochs=x", "train.epochs"),
        ("train.epochs=0", "train.epochs"),
        ("train.loss=loss", "bce_dice"),
        ("network.dropout=[1.5]", "network.dropout"),
        ("augment.scale=[2, 1]", "augment.scale"),
        ("predict.tta=[plain,flop]", "'flip'"),
        ("predict.tta=[plain,flip,plain]", "names 'plain' more than once"),
        ("predict.tta=[]", "predict.tta"),
        ("submit.rules=[fill_hole]", "'fill_holes'"),
        ("submit.rules=some", "'auto'"),
        ("submit.rules=[fill_holes,fill_holes]", "submit.rules names 'fill_holes' more than once"),
        ("train.epochs", "section.key=value"),
        ("train=3", "section.key=value"),
        ("train.epochs.x=3", "epochs.x"),
        ("split.folds=1", "split.folds"),
        ("train.learning_rate=nan", "train.learning_rate"),
        ("train.learning_rate=inf", "train.learning_rate"),
    ],
)
def test_a_wrong_assignment_is_explained_in_one_line(assignment: str, told: str):
    with pytest.raises(UserError) as fault:
        load("unet", [assignment])
    assert told in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("text", ['["flip", "plain"]', "['plain','flip']", "[plain,flip]", "[flip,plain]"])
def test_names_in_any_order_and_however_a_shell_left_them_are_the_same_setting(text: str):
    assert load("unet", [f"predict.tta={text}"]) == load("unet")


@pytest.mark.parametrize("name", ["unnet", "../unet", "", "a/b", "x" * 300])
def test_an_unknown_experiment_is_refused(name: str):
    with pytest.raises(UserError):
        load(name)


def test_the_written_settings_read_back_the_same():
    settings = load("kernel", ['submit.message="a \\"quoted\\" \\\\ é message"'])
    assert msgspec.convert(tomllib.loads(config.to_toml(settings)), Settings) == settings


def test_the_fingerprint_follows_the_values_only():
    assert config.fingerprint({"a": 1, "b": [2.5]}) == config.fingerprint({"b": [2.5], "a": 1})
    assert config.fingerprint({"a": 1}) != config.fingerprint({"a": 2})


def test_differences_name_the_dotted_key():
    assert config.diff({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == {"a.c": (2, 3)}
