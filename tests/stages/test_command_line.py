"""The command that a user types about the same dataset, experiment and settings."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from pipeline import config
from pipeline.stages.command_line import command_line
from tests.stages.helpers import context


def test_the_command_names_what_differs_from_the_defaults_and_is_quoted(tmp_path: Path):
    command = command_line(context(tmp_path, "demo", "kernel", "train.epochs=3", "submit.message=it's"), "train submit")
    words = shlex.split(command)
    options = words[words.index("submit") + 1 :]
    assert dict(zip(options[::2], options[1::2], strict=True)) == {
        "--dataset": "demo",
        "--experiment": "kernel",
        "--set": "train.epochs=3 submit.message=it's",
        "--root": str(tmp_path),
    }


def test_a_checkout_has_commands_of_make():
    # What they do when they are run: test_end_to_end.py.
    assert command_line(context(config.ROOT, "tgs", "unet"), "submit") == "make submit"
    assert command_line(context(config.ROOT, "demo", "demo"), "show", tile="abc") == "make show TILE=abc DATASET=demo"
    assert command_line(context(config.ROOT, "tgs", "kernel"), "submit", folds="0,1", retrain=True) == (
        "make submit EXPERIMENT=kernel FOLDS=0,1 RETRAIN=1"
    )


def test_another_root_has_commands_of_the_package_with_this_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.executable", "/envs/salt/bin/python")
    shown = command_line(context(tmp_path, "tgs", "unet"), "show", tile="abc")
    assert shown == f"/envs/salt/bin/python -m pipeline show abc --root {tmp_path}"
    shown = command_line(context(tmp_path, "tgs", "unet"), "show", tile="-abc")
    assert shown == f"/envs/salt/bin/python -m pipeline show --root {tmp_path} -- -abc"
