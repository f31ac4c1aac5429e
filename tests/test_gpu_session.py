"""A session on a machine that is lent for minutes: how many epochs it chooses, when it ends, and what it leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import gpu_session, pace
from benchmarks.pace import Pace
from pipeline.artifacts import Layout
from pipeline.execution.task import TrainTask
from tests.conftest import TINY

OTHER = [each for each in TINY.split() if not each.startswith("train.epochs=")]
QUICK = ["train.late_loss=", "train.ema_momentum=0", "predict.tta=[plain]"]
"""With these, less is compiled."""


def test_as_many_epochs_are_chosen_as_end_in_time_rounded_down():
    fast = Pace(epoch=2.0, fold=30.0)
    share = 1 - pace.MARGIN
    # Five folds in turn: each has a fifth of the time, less what it needs besides.
    assert pace.epochs_that_fit(fast, 501 / share, 5, 1, finish=20) == (501 - 20 - 5 * 30) // (5 * 2)
    assert pace.epochs_that_fit(fast, 501 / share, 5, 2, finish=20) == (501 - 20 - 3 * 30) // (3 * 2)
    assert pace.epochs_that_fit(fast, 501 / share, 5, 5, finish=20) == (501 - 20 - 30) // 2
    assert pace.epochs_that_fit(fast, 100, 5, 1, finish=20) == 0


class Session:
    """Calls of the script in which the pipeline and the measuring of the pace are fakes."""

    def __init__(self, finished: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.work, self.folder = folder / "work", folder / "results"
        self.commands: list[tuple[str, ...]] = []
        self.measured = 0
        self.pace = Pace(1.0, 10.0)
        self.train: Callable[[], int | None] = lambda: 0
        self.pretrain: Callable[[], int | None] = lambda: 0
        shutil.copytree(finished / "data", self.work / "data")

        def pipeline(session: gpu_session.Session, stage: str, *assignments: str) -> int | None:
            self.commands.append((stage, *assignments))
            return {"train": self.train, "pretrain": self.pretrain}.get(stage, lambda: 0)()

        def measure(tasks: list[TrainTask], jobs: int, longest: float) -> Pace:
            assert [task.fold for task in tasks] == [0, 1]
            assert longest > 0
            self.measured += 1
            return self.pace

        monkeypatch.setattr(gpu_session.Session, "pipeline", pipeline)
        monkeypatch.setattr(gpu_session.pace, "measure", measure)

    def __call__(self, *arguments: str) -> int:
        given = [part for each in OTHER for part in ("--set", each)]
        places = ["--folder", str(self.folder), "--work", str(self.work)]
        return gpu_session.main(["--dataset", "demo", "--experiment", "demo", *places, *given, *arguments])


@pytest.fixture
def session(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    return Session(finished, tmp_path, monkeypatch)


def test_the_epochs_are_measured_announced_and_kept_for_the_next_call(
    session: Session, capsys: pytest.CaptureFixture[str]
):
    expected = int(((1 - pace.MARGIN) * (600 - gpu_session.STOP) - gpu_session.FINISH - 20) / 2)
    assert session("--minutes", "10") == 0
    printed = capsys.readouterr().out
    assert "1.00 s for an epoch, 10 s for the rest of a fold" in printed
    assert f"{expected} epochs of folds 0, 1, 1 at once" in printed
    assert session.commands == [("split",), ("train", f"train.epochs={expected}")]
    assert f"left: fold 0 (0 of {expected} epochs done), fold 1 (0 of {expected} epochs done); the same" in printed
    # The next call has less time and trains for as many epochs.
    assert session("--minutes", "2") == 0
    assert session.measured == 1
    assert session.commands[-1] == ("train", f"train.epochs={expected}")
    assert f"continues with {expected} epochs" in capsys.readouterr().out


def test_the_time_of_further_calls_counts_where_it_is_named(session: Session, capsys: pytest.CaptureFixture[str]):
    assert session("--minutes", "10", "--in-all", "30") == 0
    expected = int(((1 - pace.MARGIN) * (1800 - gpu_session.STOP) - gpu_session.FINISH - 20) / 2)
    assert session.commands[-1] == ("train", f"train.epochs={expected}")


def test_where_nothing_fits_one_epoch_is_trained_and_it_says_so(session: Session, capsys: pytest.CaptureFixture[str]):
    session.pace = Pace(1000.0, 10.0)
    assert session("--minutes", "5") == 0
    assert "not one epoch of folds 0, 1, 1 at once" in capsys.readouterr().out
    assert session.commands[-1] == ("train", "train.epochs=1")


def test_a_finished_training_leaves_its_results_in_a_few_files(session: Session, capsys: pytest.CaptureFixture[str]):
    assert session("--epochs", "2", "--weights") == 0  # those that are there
    assert session.measured == 0
    assert "session: all folds are done" in capsys.readouterr().out
    names = {"results.zip", "oof.zip", "session.json", "weights-0.zip", "weights-1.zip"}
    assert {each.name for each in session.folder.iterdir()} == names
    found = session.work.parent / "found"
    for name in sorted(names - {"session.json"}):
        with zipfile.ZipFile(session.folder / name) as archive:
            archive.extractall(found)
    layout = Layout(found, "demo", "demo", gpu_session.config.load("demo", TINY.split()))
    for fold in (0, 1):
        for name in ("history.csv", "metrics.json", "oof.npy", "best.weights.h5"):
            path = layout.fold_folder(fold) / name
            assert path.read_bytes() == (session.work / path.relative_to(found)).read_bytes()
    assert json.loads((layout.experiment_folder / "cv.json").read_text())["result"]["cv"]["tiles"] == 40


def test_a_validation_that_there_was_no_time_for_is_left(session: Session, capsys: pytest.CaptureFixture[str]):
    (session.work / "data/demo/experiments/demo/cv.json").unlink()
    assert session("--epochs", "2") == 0
    assert "session: left: the validation; the same command continues" in capsys.readouterr().out


def test_large_probabilities_and_weights_are_left_out(session: Session, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu_session, "LARGEST", 1000)
    assert session("--epochs", "2") == 0
    assert {each.name for each in session.folder.iterdir()} == {"results.zip", "session.json"}


def test_a_training_that_is_stopped_in_time_is_no_failure_and_one_that_fails_is(session: Session):
    session.train = lambda: None
    assert session("--epochs", "3") == 0
    session.train = lambda: 2
    assert session("--epochs", "3") == 2
    assert (session.folder / "results.zip").is_file()


PRETRAINED = ["--set", "train.pretrain=masked"]


def test_the_pretraining_comes_first_and_its_time_counts(session: Session, monkeypatch: pytest.MonkeyPatch):
    now = time.monotonic()
    monkeypatch.setattr(gpu_session.time, "monotonic", lambda: now)

    def pretrain() -> int:
        nonlocal now
        now += 100
        return 0

    session.pretrain = pretrain
    assert session("--minutes", "10", *PRETRAINED) == 0
    expected = int(((1 - pace.MARGIN) * (500 - gpu_session.STOP) - gpu_session.FINISH - 20) / 2)
    train = ("train", f"train.epochs={expected}")
    assert session.commands == [("split",), ("pretrain",), train]


def test_a_pretraining_that_is_stopped_continues_in_the_next_call_and_what_it_took_counts(
    session: Session, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    now = time.monotonic()
    monkeypatch.setattr(gpu_session.time, "monotonic", lambda: now)

    def stopped() -> None:
        nonlocal now
        now += 588

    session.pretrain = stopped
    assert session("--minutes", "10", "--in-all", "30", *PRETRAINED) == 0
    assert session.commands == [("split",), ("pretrain",)]
    assert "left: the pretraining, and all folds; the same command continues" in capsys.readouterr().out
    session.pretrain = lambda: 0
    assert session("--minutes", "10", "--in-all", "30", *PRETRAINED) == 0
    expected = int(((1 - pace.MARGIN) * (1800 - 588 - gpu_session.STOP) - gpu_session.FINISH - 20) / 2)
    assert session.commands[2:] == [("split",), ("pretrain",), ("train", f"train.epochs={expected}")]
    session.pretrain = lambda: 2
    assert session("--minutes", "10", *PRETRAINED) == 2


def test_a_mistake_is_one_line(session: Session, capsys: pytest.CaptureFixture[str]):
    for arguments, line in ((["--set", "train.epocs=3"], "train.epochs"), (["--folds", "7"], "no fold 7")):
        assert session(*arguments) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith("error: ")
        assert line in error
    assert session.commands == []


def test_a_command_is_stopped_before_the_end_as_by_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # In place of the pipeline, a program that says how it ends.
    (tmp_path / "pipeline.py").write_text(
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n    pathlib.Path('ended').write_text('saved'); sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path('began').write_text(' '.join(sys.argv)); time.sleep(60)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(gpu_session, "STOP", 2.0)
    places = ["--folder", str(tmp_path / "results"), "--work", str(tmp_path / "work"), "--jobs", "2"]
    options = gpu_session.make_parser().parse_args([*places, "--archive", "tiles.zip", "--set", "train.seed=3"])
    started = time.monotonic()
    assert gpu_session.Session(options, started + 7).pipeline("train", "train.epochs=4") is None
    assert time.monotonic() - started < 7
    assert (tmp_path / "ended").read_text() == "saved"
    began = (tmp_path / "began").read_text()
    for part in ("train --experiment unet", "--jobs 2 --archive tiles.zip --set train.seed=3 --set train.epochs=4"):
        assert part in began


@pytest.mark.slow
def test_a_real_session_trains_as_many_epochs_as_fit_and_the_next_call_the_rest(tmp_path: Path):
    pytest.importorskip("jax")
    line = [sys.executable, "-m", "benchmarks.gpu_session", "--dataset", "demo", "--experiment", "demo"]
    line += ["--folder", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    line += [part for each in [*OTHER, *QUICK] for part in ("--set", each)]
    started = time.monotonic()
    ran = subprocess.run(
        [*line, "--minutes", "3"], capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "jax"}
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert time.monotonic() - started < 185
    kept = json.loads((tmp_path / "results/session.json").read_text())
    assert kept["epochs"] >= 1
    assert f"epoch {kept['epochs']:3}/{kept['epochs']}" in ran.stdout or "session: left" in ran.stdout
    ran = subprocess.run(
        [*line, "--minutes", "3"], capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "jax"}
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"continues with {kept['epochs']} epochs" in ran.stdout
    assert "session: all folds are done" in ran.stdout
    with zipfile.ZipFile(tmp_path / "results/results.zip") as archive:
        assert "data/demo/experiments/demo/cv.json" in archive.namelist()
