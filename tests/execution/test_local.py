"""Several experiments, one after the other, on this machine."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import Artifact, BusyError
from pipeline.config import UserError, load
from pipeline.execution import local
from pipeline.execution.progress_page import ProgressPage
from pipeline.execution.task import FoldTask, TrainTask
from pipeline.system import machine
from tests.conftest import TINY, Chain
from tests.execution.in_processes import die, write_threads


def test_finished_experiments_are_skipped_and_an_error_stops_only_its_own_experiment(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    trained = []

    def failing(tasks: list[TrainTask], jobs: int, page: ProgressPage) -> None:
        experiment = tasks[0].experiment
        trained.append((experiment, [task.fold for task in tasks]))
        if experiment == "kernel":
            raise UserError("kernel fails")
        shutil.copytree(
            root / "data/demo/experiments/demo",
            tasks[0].trained.folder.parent,
            dirs_exist_ok=True,
            ignore=lambda *_: ["cv.json"],
        )

    monkeypatch.setattr(local, "train", failing)
    chain = Chain(root, capsys)
    # With these settings all three are the same experiment under different names.
    same = TINY + " " + everything(root)
    assert chain("train", experiment="kernel,demo,unet", settings=same) == 2
    assert trained == [("kernel", [0, 1]), ("unet", [0, 1])]
    assert "kernel fails" in chain.error
    assert "train: up to date" in chain.printed
    assert "experiment          unet" in chain.printed
    assert (root / "data/demo/experiments/unet/report.html").is_file()
    assert not (root / "data/demo/experiments/kernel/report.html").exists()


def test_folds_that_are_left_over_at_the_end_share_all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "cores", lambda: 6)
    monkeypatch.setattr(machine, "gpus", list)
    none = Artifact("none", "train", tmp_path, "none.json", ())
    task = partial(FoldTask, root=tmp_path, experiment="demo", settings=load("demo"), tiles=none, trained=none)
    with pytest.raises(UserError, match="fold 1 fails"):
        local._run(write_threads, [task(fold=fold) for fold in range(5)], jobs=3)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "0": "2",
        "1": "2",
        "2": "2",
        "3": "3",
        "4": "3",
    }


def test_one_after_the_other_a_fold_that_fails_does_not_keep_the_others_from_being_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    none = Artifact("none", "train", tmp_path, "none.json", ())
    tasks = [
        FoldTask(root=tmp_path, experiment="demo", settings=load("demo"), tiles=none, trained=none, fold=fold)
        for fold in range(3)
    ]
    done = []

    def busy(task: FoldTask, *_: object) -> None:
        if task.fold != 2:
            raise BusyError(f"train fold {task.fold}: process 7 is making it right now")
        done.append(task.fold)

    with pytest.raises(UserError, match=r"^train fold 0: .* right now; train fold 1: .* right now$"):
        local._run(busy, tasks, jobs=1)
    assert done == [2]
    assert "train fold 0: process 7 is making it right now; the other folds follow" in capsys.readouterr().out
    with pytest.raises(BusyError, match="fold 1"):
        local._run(busy, tasks[1:], jobs=1)


def everything(root: Path) -> str:
    """All settings of the finished experiment as assignments."""
    import tomllib

    read = tomllib.loads((root / "data/demo/experiments/demo/config.toml").read_text())
    return " ".join(
        f"{section}.{key}={json.dumps(value, separators=(',', ':'))}"
        for section, values in read.items()
        for key, value in values.items()
        if value != ""
    )


@pytest.mark.slow
def test_several_experiments_are_trained_and_predicted(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    assert chain("predict", experiment="demo,kernel") == 0
    assert "train: experiment kernel" in chain.printed
    assert "train: experiment demo" not in chain.printed
    assert (root / "data/demo/experiments/kernel/test/fold-1.npy").is_file()
    assert np.load(root / "data/demo/experiments/kernel/test/fold-1.npy").shape == (12, 101, 101)


def test_after_a_process_was_killed_the_folds_that_are_left_continue_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(machine, "cores", lambda: 2)
    monkeypatch.setattr(machine, "gpus", list)
    none = Artifact("none", "train", tmp_path, "none.json", ())
    task = partial(FoldTask, root=tmp_path, experiment="demo", settings=load("demo"), tiles=none, trained=none)
    with pytest.raises(UserError, match=r"^fold 0 fails; fold 2: its process was killed; .* to continue$"):
        local._run(die, [task(fold=fold) for fold in range(5)], jobs=2)
    printed = capsys.readouterr().out
    assert (
        "a process was killed, perhaps because the memory is full; folds 1, 2, 3, 4 continue one at a time" in printed
    )
    tried = {path.name: path.read_text().split() for path in tmp_path.iterdir()}
    assert tried["0"] == ["1"]
    assert (tried["1"][-1], tried["3"][-1], tried["4"]) == ("2", "2", ["2"])
