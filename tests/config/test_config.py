"""Settings: what a user may write, and what they are told when it is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

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


def test_an_experiment_holds_what_differs_from_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config, "EXPERIMENTS", tmp_path)
    (tmp_path / "plain.toml").write_text("[train]\nepochs = 3\nbatch = 4\n")
    (tmp_path / "wide.toml").write_text('base = "plain"\n[network]\nwidth = 64\n[train]\nbatch = 2\n')
    (tmp_path / "wider.toml").write_text('base = "wide"\n[network]\nlevels = 2\n')
    settings = load("wider", ["train.batch_size=1"])
    assert (settings.train.epochs, settings.network.width, settings.network.levels) == (3, 64, 2)
    assert (settings.train.batch_size, load("wider").train.batch_size) == (1, 2)


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ('"own"', "leads back to the experiment itself"),
        ('"plane"', "did you mean 'plain'"),
        ("3", "write the name of an experiment"),
        ('"../plain"', "a name is made of"),
    ],
)
def test_a_wrong_base_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, told: str):
    monkeypatch.setattr(config, "EXPERIMENTS", tmp_path)
    (tmp_path / "plain.toml").write_text("")
    (tmp_path / "own.toml").write_text(f"base = {base}\n")
    with pytest.raises(UserError, match=told):
        load("own")


def test_an_assignment_changes_one_value():
    settings = load("unet", ["train.epochs=7", "split.by=coverage", "network.dropout=[0.1, 0.2]"])
    assert (settings.train.epochs, settings.split.by, settings.network.dropout) == (7, "coverage", (0.1, 0.2))
    assert {*config.differences(settings, load("unet"))} == {"train.epochs", "split.by", "network.dropout"}


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("train.epocs=5", "did you mean 'train.epochs'"),
        ("predict.tta=plain", "a list in brackets"),
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
    with pytest.raises(UserError) as error:
        load("unet", [assignment])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ['["flip", "plain"]', "['plain','flip']", "[plain,flip]", "[flip, plain]"])
def test_names_in_any_order_and_however_a_shell_left_them_are_the_same_setting(text: str):
    assert load("unet", [f"predict.tta={text}"]) == load("unet")


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
def test_a_setting_that_is_text_takes_the_text_as_it_was_typed(typed: str, text: str):
    settings = load("unet", [f"submit.message={typed}", f"network.weights={typed}"])
    assert (settings.submit.message, settings.network.weights) == (text, text)
    assert msgspec.convert(tomllib.loads(config.to_toml(settings)), Settings) == settings


@pytest.mark.parametrize(
    ("assignments", "told"),
    [
        (["train.schedule=cosine_restarts", "train.cycles=6", "train.epochs=5"], "at least as many train.epochs"),
        (["train.snapshots=2"], "train.schedule=cosine_restarts"),
        (["train.schedule=cosine_restarts", "train.cycles=2", "train.snapshots=3"], "at most train.cycles = 2"),
        (["train.schedule=cosine_restarts", "train.snapshots=2", "train.early_stopping=3"], "train.early_stopping=0"),
        (["train.swa_start=0.75"], "train.ema_momentum"),
        (
            ["train.schedule=cosine_restarts", "train.snapshots=2", "train.swa_start=0.75", "train.ema_momentum=0"],
            "or snapshots to 1",
        ),
        (["train.loss=weighted_border"], "set network.empty_head and network.deep_supervision to 0"),
        (["train.late_loss=weighted_border", "network.empty_head=0"], "network.deep_supervision to 0"),
        (["train.pseudo_fraction=0.2", "train.epochs=1"], "more train.epochs"),
        (["train.pseudo_fraction=0.2", "train.pseudo_start=1"], "lower it"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_in_one_line(assignments: list[str], told: str):
    with pytest.raises(UserError) as error:
        load("unet", assignments)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_what_goes_together_may_be_said_in_any_order():
    together = ["train.snapshots=2", "train.cycles=2", "train.schedule=cosine_restarts"]
    assert load("unet", together) == load("unet", together[::-1])
    apart = ["train.swa_start=0.5", "train.ema_momentum=0"]
    assert load("unet", apart) == load("unet", apart[::-1])


@pytest.mark.parametrize("name", ["unnet", "../unet", "", "a/b", "x" * 300])
def test_an_unknown_experiment_is_refused(name: str):
    why = "there is no experiment" if name == "unnet" else "a name is made of letters"
    with pytest.raises(UserError, match=why) as error:
        load(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[train\nepochs = 5\n", "not valid TOML"),
        (b"\xff\xfe[\x00t\x00", "not valid TOML"),
        (b"[train]\nepochs = 5\nepochs = 6\n", "not valid TOML"),
        (b"[train]\nepocs = 5\n", "there is no setting 'train.epocs' (did you mean 'train.epochs'?)"),
        (b"[trian]\nepochs = 5\n", "there is no setting 'trian' (did you mean 'train'?)"),
        (b"epochs = 5\n", "there is no setting 'epochs'"),
        (b"train = 5\n", "train: Expected a section of settings, got 'int'"),
        (b'[train]\nepochs = "five"\n', "train.epochs: Expected 'int', got 'str'"),
        (b"[train]\nepochs = 0\n", "train.epochs: Expected 'int' >= 1"),
        (b"[train]\nema = 1.0\n", "train.ema_momentum: Expected 'float' < 1"),
    ],
)
def test_a_wrong_settings_file_is_named_and_explained_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, told: str
):
    path = tmp_path / "mine.toml"
    path.write_bytes(text)
    monkeypatch.setattr(config, "EXPERIMENTS", tmp_path)
    with pytest.raises(UserError) as error:
        load("mine")
    assert str(error.value).startswith(f"{path}: ")
    assert told in str(error.value)


def test_the_written_settings_read_back_the_same():
    settings = load("kernel", ['submit.message="a \\"quoted\\" \\\\ é message"'])
    assert msgspec.convert(tomllib.loads(config.to_toml(settings)), Settings) == settings


def test_the_fingerprint_follows_the_values_only():
    assert config.fingerprint({"a": 1, "b": [2.5]}) == config.fingerprint({"b": [2.5], "a": 1})
    assert config.fingerprint({"a": 1}) != config.fingerprint({"a": 2})


def test_differences_name_the_dotted_key():
    assert config.diff({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == {"a.c": (2, 3)}
