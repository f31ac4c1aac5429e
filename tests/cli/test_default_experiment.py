"""The experiment that a dataset has where none is named, in options and in the next command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts import Freshness, Layout
from pipeline.cli.main import COMMANDS
from pipeline.cli.parser import make_parser, selection
from pipeline.config import UserError, load
from pipeline.stages import Context
from pipeline.stages.command_line import command_line


@pytest.fixture
def parse() -> Callable[..., argparse.Namespace]:
    def nothing(options: argparse.Namespace) -> None:
        del options

    return make_parser(nothing, dict.fromkeys(COMMANDS, nothing)).parse_args


@pytest.mark.parametrize(
    ("arguments", "experiment"),
    [
        ([], "unet"),
        (["--dataset", "tgs"], "unet"),
        (["--dataset", "mine"], "unet"),
        (["--dataset", "demo"], "demo"),
        (["--dataset", "demo", "--experiment", "unet"], "unet"),
        (["--experiment", "demo"], "demo"),
    ],
)
@pytest.mark.parametrize("command", ["train", "submit", "status"])
def test_the_experiment_is_the_datasets_default(
    parse: Callable[..., argparse.Namespace], command: str, arguments: list[str], experiment: str
):
    assert selection(parse([command, *arguments])).experiment == experiment


def test_a_dataset_with_no_valid_name_is_one_line(parse: Callable[..., argparse.Namespace]):
    with pytest.raises(UserError, match="a name is made of letters"):
        selection(parse(["train", "--dataset", "../x"]))


@pytest.mark.parametrize(
    ("dataset", "experiment", "named"),
    [("tgs", "unet", False), ("demo", "demo", False), ("demo", "unet", True), ("tgs", "kernel", True)],
)
def test_the_next_command_names_an_experiment_that_is_not_the_default(
    tmp_path: Path, dataset: str, experiment: str, named: bool
):
    layout = Layout(tmp_path, dataset, experiment, load(experiment))
    command = command_line(Context(layout, Freshness(), (0,)), "train")
    assert (f"--experiment {experiment}" in command) == named
