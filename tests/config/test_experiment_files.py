"""The files of the experiments: names, folders, descriptions and bases."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import config
from pipeline.cli import main as command_line
from pipeline.config import UserError, load
from pipeline.config.experiment_files import description, header
from tests.conftest import own_experiments


def test_every_experiment_loads_and_has_a_description():
    for name in config.all_experiment_names():
        load(name)
        if name not in own_experiments():
            assert config.experiment_path(name).read_text(encoding="utf-8").startswith("# ")
            assert description(name)


def test_the_names_to_choose_from_are_those_outside_of_the_ladder():
    names = config.experiment_names()
    assert {"unet", "demo", "article", "paper", "kernel", "notebook"} <= {*names}
    assert len({*names} - {*own_experiments()}) < 12
    rest = {*config.all_experiment_names()} - {*names}
    assert rest == {path.stem for path in (config.EXPERIMENTS / "ladder").iterdir()}
    assert "ladder-00-kernel" in rest


def test_an_experiment_of_the_ladder_has_a_plain_name():
    assert config.experiment_path("ladder-07-ema").parent.name == "ladder"
    assert load("ladder-07-ema").train.ema_momentum == 0.99


def test_the_command_line_lists_those_to_choose_from_and_all_on_request(capsys: pytest.CaptureFixture[str]):
    assert command_line.main(["experiments"]) == 0
    head, default, *lines, more = capsys.readouterr().out.splitlines()
    assert head.split() == ["experiment", "CV", "minutes", "folds", "trained", "what", "it", "shows"]
    assert default.split()[0] == "unet"
    assert [line.split()[0] for line in lines] == [name for name in config.experiment_names() if name != "unet"]
    assert "experiments --all" in more
    assert command_line.main(["experiments", "--all"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {*config.all_experiment_names()}


def test_a_file_without_a_comment_in_its_first_line_has_no_description(experiments: Path):
    (experiments / "plain.toml").write_text("[train]\nepochs = 3 # few\n")
    (experiments / "described.toml").write_text("\n# Few epochs.\n[train]\nepochs = 3\n")
    assert (description("plain"), description("described")) == ("", "Few epochs.")


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ('"own"', "leads back to the experiment itself"),
        ('"plane"', "did you mean 'plain'"),
        ("3", "write the name of an experiment"),
        ('"../plain"', "a name is made of"),
    ],
)
def test_a_wrong_base_is_one_line(experiments: Path, base: str, message: str):
    (experiments / "plain.toml").write_text("")
    (experiments / "own.toml").write_text(f"base = {base}\n")
    with pytest.raises(UserError, match=message):
        load("own")


@pytest.mark.parametrize("name", ["unnet", "../unet", "", "a/b", "x" * 300])
def test_an_unknown_experiment_is_rejected(name: str):
    why = "there is no experiment" if name == "unnet" else "a name is made of letters"
    with pytest.raises(UserError, match=why) as error:
        load(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("text", [b"[train\nepochs = 5\n", b"\xff\xfe[\x00t\x00", b"[train]\nepochs = 5\nepochs = 6\n"])
def test_a_file_that_is_not_toml_is_named_in_one_line(experiments: Path, text: bytes):
    path = experiments / "mine.toml"
    path.write_bytes(text)
    with pytest.raises(UserError) as error:
        load("mine")
    assert str(error.value).startswith(f"{path}: not valid TOML")


def test_a_byte_order_mark_is_no_part_of_a_file(experiments: Path):
    (experiments / "mine.toml").write_bytes(b"\xef\xbb\xbf# Few epochs.\n[train]\nepochs = 3\n")
    assert load("mine").train.epochs == 3
    assert (description("mine"), header("mine")) == ("Few epochs.", "Few epochs.")


def test_what_cannot_be_an_experiment_is_not_listed(experiments: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("unet", "my exp", ".hidden", "x" * 101):
        (experiments / f"{name}.toml").write_text("")
    for folder in ("x.toml", "ladder/y.toml", "mine"):
        (experiments / folder).mkdir(parents=True)
    (experiments / "mine/z.toml").write_text("")
    (experiments / "gone.toml").symlink_to(experiments / "nowhere")
    assert config.experiment_names() == config.all_experiment_names() == ["unet"]
    for arguments in (["experiments"], ["experiments", "--all"]):
        assert command_line.main([*arguments, "--root", str(experiments)]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:2]] == ["experiment", "unet"]
    with pytest.raises(UserError, match=f"'-' and '_'; rename the file {experiments / 'my exp'}.toml"):
        load("my exp")
