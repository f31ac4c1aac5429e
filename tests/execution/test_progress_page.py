"""The page of a training that runs, on folds whose training is a fake."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.artifacts import Freshness, backup_folder
from pipeline.artifacts.backup import STATE
from pipeline.config import UserError
from pipeline.execution import local, progress_page
from pipeline.execution.task import TrainTask
from pipeline.stages import Context, train
from pipeline.system.atomic import write_arrays
from pipeline.system.progress import Epoch, FoldCallback
from pipeline.training.history import write_history
from tests.conftest import Chain
from tests.hollow import RESULTS, fill
from tests.system.test_progress import Clock

SCORES = {0: [0.2, 0.6, 0.4, 0.5], 1: [0.1, 0.2, 0.3, 0.7]}
Look = Callable[[int, int, str], object]


def rows(fold: int, epochs: int) -> list[dict[str, Any]]:
    """The history of a fold's first epochs, of one minute each."""
    return [
        {"epoch": epoch, "loss": 1 / epoch, "score": score, "seconds": 50.0, "seconds_scoring": 10.0}
        for epoch, score in enumerate(SCORES[fold][:epochs], start=1)
    ]


def save(task: TrainTask, epochs: int) -> None:
    """Leave the backup of a training."""
    about = json.dumps({"history": rows(task.fold, epochs)}).encode()
    write_arrays(backup_folder(task.trained) / STATE, {"about": np.frombuffer(about, np.uint8)})


def done(task: TrainTask) -> None:
    """Leave a finished fold."""
    with artifacts.updating(task.trained) as folder:
        for name in task.trained.outputs:
            (folder / name).write_bytes(b"content")
        write_history(folder, rows(task.fold, 4))
        artifacts.commit(task.trained, RESULTS["train"] | {"epochs": 4}, 0.0)
    fill(task.out_of_fold)


class FakeTraining:
    """Takes the place of a fold's training: epochs of a minute by the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.look: Look = lambda fold, epoch, page: None
        self.path = Path()

    def __call__(self, task: TrainTask, callback: FoldCallback, freshness: Freshness) -> None:
        self.path = task.trained.folder.parent / "progress.html"
        self.look(task.fold, 0, self.path.read_text())
        for epoch in range(1, 5):
            self._clock.now += 50
            callback.step(task.fold, epoch - 1, 10, 10)
            self._clock.now += 10
            save(task, epoch)
            history = rows(task.fold, epoch)
            best = max(history, key=lambda row: row["score"])
            last = history[-1]
            values = last["loss"], last["score"], best["score"], best["epoch"], 60.0
            callback.epoch(Epoch(task.fold, epoch, 4, *values, history=tuple(history)))
            self.look(task.fold, epoch, self.path.read_text() if self.path.is_file() else "")
        done(task)
        freshness.forget()


@pytest.fixture
def training(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    clock.now = 1000.0
    fake = FakeTraining(clock)
    monkeypatch.setattr(local, "complete_fold", fake)
    return fake


def text(page: str) -> str:
    """What a reader sees of a page."""
    return " ".join(re.sub(r"<[^>]*>", " ", page.split("<body>")[1]).split())


def test_the_page_is_there_from_the_start_and_has_the_numbers_of_each_epoch(
    context: Context, training: FakeTraining, capsys: pytest.CaptureFixture[str]
):
    pages: dict[tuple[int, int], str] = {}
    training.look = lambda fold, epoch, page: pages.update({(fold, epoch): page})
    train.make(context)
    page = context.layout.experiment_folder / "progress.html"
    printed = capsys.readouterr().out
    assert printed.count("progress: ") == 1
    assert f"progress: {page}, updated after each epoch" in printed
    assert len(pages) == 10
    assert all('<meta http-equiv="refresh"' in each for each in pages.values())
    assert "0 of 8 epochs" in text(pages[0, 0])
    assert "the time left is known after the first epoch" in pages[0, 0]
    # After three minutes, five epochs of a minute are left.
    third = text(pages[0, 3])
    assert "3 of 8 epochs" in third
    assert "about 5 min left" in third
    assert "fold 0 3 of 4 epochs score 0.4000, best 0.6000 (epoch 2); loss 0.3333, 60.0 s per epoch" in third
    assert "fold 1 0 of 4 epochs" in third
    assert "Predicting nothing scores 0.2500." in third
    # Two charts with a line of three points, and a star in one of them; no line of a fold without an epoch.
    assert [each.count("L") for each in re.findall(r'stroke-width="1.8" d="(M[^"]*)"', pages[0, 3])] == [2, 2]
    assert pages[0, 3].count("translate(") == 1
    assert pages[1, 4].count("translate(") == 2
    last = text(pages[1, 4])
    assert "8 of 8 epochs" in last
    assert "fold 0 4 of 4 epochs score 0.5000, best 0.6000 (epoch 2); done" in last
    ended = page.read_text()
    assert "http-equiv" not in ended
    assert '<a href="report.html">report</a>' in ended


def test_names_are_escaped_and_nothing_is_loaded(context: Context, training: FakeTraining):
    train.make(context)
    page = (context.layout.experiment_folder / "progress.html").read_text()
    assert "&lt;b&gt;bold" in page
    assert "<b>bold" not in page
    assert not re.search(r'(src|href)="(?!data:|report\.html")', page)


def test_a_page_that_cannot_be_written_is_one_warning_and_training_goes_on(
    context: Context, training: FakeTraining, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = context.layout.experiment_folder

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    training.look = lambda fold, epoch, page: monkeypatch.setattr(progress_page, "write_bytes", full)
    train.make(context)
    assert all(Freshness().state(train.trained(context.layout, fold)).done for fold in (0, 1))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert lines == [
        f"warning: {folder / 'progress.html'} is not up to date (No space left on device); training goes on"
    ]
    # The version of the start stays whole.
    assert "0 of 8 epochs" in (folder / "progress.html").read_text()


def test_a_bug_in_the_page_does_not_end_a_training(
    context: Context, training: FakeTraining, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(progress_page, "page", lambda *_: 1 / 0)
    training.look = lambda *_: None
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "")
    train.make(context)
    printed = capsys.readouterr().out
    assert printed.count("(ZeroDivisionError: division by zero); training goes on") == 1
    assert "progress: " not in printed


def test_it_is_written_at_most_every_five_seconds(context: Context, clock: Clock):
    clock.now = 1000.0
    with train._page(context) as page:
        for now, shown in ((1001.0, 0), (1004.9, 0), (1005.0, 3), (1006.0, 3)):
            clock.now = now
            number = {1001.0: 1, 1004.9: 2, 1005.0: 3, 1006.0: 4}[now]
            page.epoch(Epoch(0, number, 4, 0.5, 0.5, 0.5, 1, 1.0, tuple(rows(0, number))))
            assert f"{shown} of 8 epochs" in page.path.read_text()
        # What was too early is written when it is time, without another epoch.
        clock.now = 1010.0
        page.renew()
        assert "4 of 8 epochs" in page.path.read_text()


def test_folds_of_other_processes_are_read_from_disk(context: Context, clock: Clock):
    clock.now, tasks = 1000.0, [train.task(context.layout, fold) for fold in (0, 1)]
    save(tasks[1], 1)
    with train._page(context) as page:
        # What was there before this command, too.
        assert "1 of 8 epochs" in page.path.read_text()
        save(tasks[0], 2)
        clock.now += 5
        page.look()
        assert "3 of 8 epochs" in page.path.read_text()
        done(tasks[1])
        clock.now += 5
        page.look()
        assert "6 of 8 epochs" in page.path.read_text()
        assert "fold 1 4 of 4 epochs score 0.7000, best 0.7000 (epoch 4); done" in text(page.path.read_text())
        written = page.path.stat().st_mtime_ns
        clock.now += 5
        page.look()
        assert page.path.stat().st_mtime_ns == written


def test_a_damaged_backup_is_shown_as_none(context: Context, clock: Clock, capsys: pytest.CaptureFixture[str]):
    task = train.task(context.layout, 0)
    save(task, 2)
    (backup_folder(task.trained) / STATE).write_bytes(b"PK\x03\x04 damaged")
    with train._page(context) as page:
        assert "0 of 8 epochs" in page.path.read_text()
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (UserError("fold 0: <bad> loss"), "stopped: fold 0: &lt;bad&gt; loss"),
        (KeyboardInterrupt(), "stopped: interrupted"),
    ],
)
def test_a_training_that_stops_is_shown_with_its_reason(context: Context, clock: Clock, error: BaseException, why: str):
    save(train.task(context.layout, 0), 2)
    with pytest.raises(type(error)), train._page(context) as page:
        raise error
    found = page.path.read_text()
    assert why in found
    assert "2 of 8 epochs" in found
    assert "http-equiv" not in found
    assert "report.html" not in found


def test_the_process_of_the_command_loads_no_framework_for_it():
    code = "import sys, pipeline.execution.progress_page; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"keras", "tensorflow", "jax", "matplotlib", "pandas", "cv2"} & set(ran.stdout.split())


def test_clean_removes_it(context: Context, training: FakeTraining, capsys: pytest.CaptureFixture[str]):
    train.make(context)
    page = context.layout.experiment_folder / "progress.html"
    assert page.is_file()
    assert Chain(context.layout.root, capsys)("clean", "train", settings="split.folds=2") == 0
    assert not page.exists()
