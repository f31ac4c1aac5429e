"""A student: one command trains its teacher, has it label the test tiles, and trains the student, fold by fold."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pipeline.config import experiment_files, load, to_toml
from tests.conftest import TINY, Chain
from tests.prediction.helpers import SMALL

QUICK = ["train.late_loss=", "input.fit=resize", "input.size=32", "augment.grid=0", "predict.tta=[plain]"]
"""Settings of the teacher, and so of its students, whose trainings take seconds."""
SURVEY = "survey.train=40 survey.test=12 split.folds=2 split.bins=4"
"""What an assignment changes for a student and its teacher alike."""


@pytest.fixture
def taught(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """The command line with the experiments ``teacher``, ``student`` and ``second``, whose teacher is ``student``."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "teacher.toml").write_text(to_toml(load("unet", [*TINY.split(), *SMALL, *QUICK])))
    (folder / "unet.toml").write_text("")
    for name, teacher in (("student", "teacher"), ("second", "student")):
        (folder / f"{name}.toml").write_text(
            f'base = "teacher"\n[student]\nteachers = ["{teacher}"]\ncertain_pixels = 0\nbalance = "none"\n'
            '[predict]\ntta = ["plain"]\n'
        )
    monkeypatch.setattr(experiment_files, "EXPERIMENTS", folder)
    return chain


def test_one_command_trains_teacher_and_student_of_a_fold(taught: Chain):
    assert taught("train", "--folds", "0", settings=SURVEY, experiment="student") == 0, taught.error
    experiments = taught.root / "data/demo/experiments"
    assert (experiments / "teacher/test/fold-0.npy").is_file()
    assert not (experiments / "teacher/fold-1").exists()
    manifest = json.loads((experiments / "student/fold-0/train.json").read_text())
    label = json.loads((experiments / "teacher/test/fold-0.json").read_text())
    assert "teacher predict fold 0" in manifest["inputs"]
    assert label["result"]["tiles"] == 12
    with (experiments / "student/fold-0/history.csv").open() as stream:
        assert [int(row["pseudo_labels"]) for row in csv.DictReader(stream)] == [10, 10]
    lines = taught.printed.splitlines()
    assert (
        "  teachers            teacher, fold by fold: up to 50% of the tiles are test tiles labelled by them until "
        in (taught.printed)
    )
    order = [line for line in lines if line.startswith("train: experiment")]
    assert [line.split()[2].rstrip(",") for line in order] == ["teacher", "student"]

    # Nothing is done twice.
    assert taught("train", "--folds", "0", settings=SURVEY, experiment="student") == 0
    assert "train: up to date" in taught.printed.splitlines()
    assert "train: experiment" not in taught.printed

    # Other labels: the student is stale, and a finished fold is replaced only with consent.
    teacher = experiment_files.EXPERIMENTS / "teacher.toml"
    teacher.write_text(teacher.read_text().replace('tta = ["plain"]', 'tta = ["plain", "flip"]'))
    assert taught("train", "--folds", "0", settings=SURVEY, experiment="student") == 2
    assert "experiment student, fold 0 (teacher predict fold 0 is stale): already trained" in taught.error
    assert json.loads((experiments / "teacher/test/fold-0.json").read_text()) == label


def test_a_student_is_not_trained_at_kaggle(taught: Chain):
    status = taught("train", "--executor", "kaggle", settings=SURVEY, experiment="second")
    assert status == 2
    assert taught.error.count("\n") == 1
    assert (
        "experiment student is trained on test tiles that teacher has labelled on this machine, not at Kaggle"
        in taught.error
    )
    assert not (taught.root / "data").exists()


@pytest.mark.slow
def test_two_rounds_on_all_folds_are_submitted(taught: Chain):
    assert taught("submit", settings=SURVEY, experiment="second") == 0, taught.error
    assert (taught.root / "submissions/demo/second.csv").is_file()
    manifest = json.loads((taught.root / "data/demo/experiments/second/fold-1/train.json").read_text())
    assert "student predict fold 1" in manifest["inputs"]
