"""Variables of make: a mistyped one is refused before anything is done. ``make -n`` runs nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What make would do, where there is no environment yet."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-n", "-f", PROJECT / "Makefile", *arguments, "PYTHON3=python3"],
        cwd=folder,
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/base.lock").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("FOLD=0", "there is no variable FOLD; did you mean FOLDS?"),
        ("folds=0", "there is no variable folds; did you mean FOLDS?"),
        ("EXPERMENT=unet", "there is no variable EXPERMENT; did you mean EXPERIMENT?"),
        ("DATA_SET=demo", "there is no variable DATA_SET; did you mean DATASET?"),
        ("EPOCHS=5", 'there is no variable EPOCHS; a setting is written as SET="train.epochs=5"'),
        ("it's;true=1", "there is no variable it's;true; a setting"),
    ],
)
def test_an_unknown_variable_is_refused_in_one_line(folder: Path, argument: str, message: str):
    ran = make(folder, "train", argument)
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert message in ran.stderr
    assert ran.stdout == ""


def test_every_variable_of_the_documentation_is_known(folder: Path):
    page = (PROJECT / "docs" / "commands.md").read_text(encoding="utf-8")
    table = [line.split("|")[1] for line in page.splitlines() if re.match(r"\| `[A-Z_]+`", line)]
    names = {name for cell in table for name in re.findall(r"`([A-Z_0-9]+)`", cell)}
    assert {"DATASET", "FOLDS", "RETRAIN", "STORE"} <= names
    others = ("VENV", "CUDA_VISIBLE_DEVICES")
    ran = make(folder, "submit", "show", *(f"{name}=1" for name in sorted({*names, *others})))
    assert ran.returncode == 0, ran.stderr


def test_a_value_may_look_like_a_variable(folder: Path):
    assert make(folder, "status", "SET=train.epochs=5 FOLD=0").returncode == 0


@pytest.mark.parametrize(
    ("argument", "reader"),
    [
        ("DRY_RUN=1", "submit"),
        ("WAIT=20", "submit"),
        ("NO_WAIT=1", "submit"),
        ("FORCE=1", "submit"),
        ("TILE=a", "show"),
    ],
)
def test_a_variable_that_no_target_reads_is_refused(folder: Path, argument: str, reader: str):
    ran = make(folder, "train", "status", argument)
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert f"make train takes no {argument.partition('=')[0]}; make {reader} does" in ran.stderr
    assert make(folder, "train", reader, argument).returncode == 0
    # A variable of the environment, or one that is turned off, is no mistake.
    name, _, value = argument.partition("=")
    assert make(folder, "train", **{name: value}).returncode == 0
    assert make(folder, "train", f"{name}=0").returncode == 0


@pytest.mark.parametrize("argument", ["ARCHIVE=tiles.zip", "DATASET=mine", "EXPERIMENT=unet", "FOLDS=0", "DRY_RUN=1"])
def test_the_demo_takes_nothing_that_it_would_ignore(folder: Path, argument: str):
    ran = make(folder, "demo", argument)
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert f"make demo takes no {argument.partition('=')[0]}; make submit does, with DATASET=demo" in ran.stderr
    assert make(folder, "demo", "SET=train.epochs=1", "JOBS=2", "RETRAIN=1").returncode == 0


def test_the_demo_takes_no_archive_of_the_environment_either(folder: Path):
    assert "make demo takes no ARCHIVE" in make(folder, "demo", ARCHIVE="tiles.zip").stderr
    assert make(folder, "demo", DATASET="tgs").returncode == 0


def test_the_id_of_a_tile_may_start_with_a_hyphen(folder: Path):
    assert make(folder, "show", "TILE=-abc").stdout.splitlines()[-1].endswith(' -- "$TILE"')


def test_the_experiment_is_passed_on_only_where_one_is_named(folder: Path):
    assert "--experiment" not in make(folder, "submit", "DATASET=demo").stdout
    assert '--experiment "$EXPERIMENT"' in make(folder, "submit", "EXPERIMENT=kernel").stdout
