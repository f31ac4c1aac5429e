"""The teachers of a student: other experiments, with its tiles and folds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import UserError, load, teachers


def write(folder: Path, name: str, *names: str, more: str = "") -> None:
    (folder / f"{name}.toml").write_text(f"{more}\n[student]\nteachers = {list(names)}\n")


def test_a_teacher_has_its_own_settings_but_the_students_tiles_and_folds(experiments: Path):
    write(experiments, "first", more="[train]\nepochs = 7")
    write(experiments, "other")
    write(experiments, "second", "other", "first", more="[train]\nepochs = 9")
    settings = load("second", ["split.folds=3", "survey.train=50", "train.batch_size=4"])
    found = teachers("second", settings)
    assert [*found] == ["first", "other"]
    assert found["first"].train == load("first").train
    assert (found["first"].split, found["first"].survey) == (settings.split, settings.survey)
    assert teachers("first", load("first")) == {}
    assert load("second", ["student.teachers=[other,first]"]).student == load("second").student


def test_unknown_teachers_and_circles_are_refused_in_one_line(experiments: Path):
    write(experiments, "unet")
    write(experiments, "one", "two")
    write(experiments, "two", "three")
    write(experiments, "three", "two")
    write(experiments, "self", "self")
    write(experiments, "lost", "unett")
    for name, message in (
        ("self", "experiment self: student.teachers names self, which is the experiment itself; name others"),
        ("one", "experiment three: student.teachers names two, which learns from it; name others"),
        ("lost", r"experiment lost, student\.teachers: there is no experiment 'unett' \(did you mean 'unet'"),
    ):
        with pytest.raises(UserError, match=message) as error:
            teachers(name, load(name))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["pseudo_fraction", "pseudo_start", "pseudo_share"])
def test_the_settings_of_labels_that_a_network_made_itself_name_what_replaced_them(name: str, experiments: Path):
    write(experiments, "unet")
    with pytest.raises(UserError, match=rf"there is no setting train\.{name} any more: .*student\.teachers"):
        load("unet", [f"train.{name}=0.25"])
