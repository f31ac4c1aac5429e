"""What the driver shows of its tasks' events. Needs no Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.artifacts import Freshness
from pipeline.execution.local_progress import LocalProgress
from pipeline.execution.ray.display import TrainingDisplay
from pipeline.execution.ray.jobs import Job
from pipeline.execution.ray.resources import TaskResources
from pipeline.stages import Context, train
from pipeline.system.progress import Epoch
from tests.system.test_progress import Clock


def test_a_backup_that_cannot_be_used_is_one_line_here_and_on_other_machines(
    context: Context, capsys: pytest.CaptureFixture[str]
):
    job = Job(0, train.task(context.layout, 0), {})
    with TrainingDisplay([job], TaskResources(1, 0, 1), Freshness(), False, {}) as display:
        display.show(job, "unusable", "backup-x/unusable-state.npz")
    LocalProgress(job.task, 0, 1).unusable(0, Path.cwd() / "backup-x/unusable-state.npz")
    line = "fold 0: its backup is damaged or does not fit, and it starts again; kept until it is trained: "
    printed = capsys.readouterr().out
    assert printed.count(f"{line}backup-x/unusable-state.npz") == 2


def test_epochs_on_other_machines_reach_the_page_without_their_files(
    context: Context, clock: Clock, capsys: pytest.CaptureFixture[str]
):
    clock.now = 1000.0
    jobs = [Job(fold, train.task(context.layout, fold), {}) for fold in (0, 1)]
    with train._page(context) as page:
        pages = {"demo": page}
        with TrainingDisplay(jobs, TaskResources(1, 0, 2), Freshness(), False, pages) as display:
            for step in range(1, 51):
                clock.now += 1
                for job in jobs:
                    display.show(job, "step", (0, step, 50))
            rows = [{"epoch": 1, "loss": 0.5, "score": 0.4, "seconds": 50.0, "seconds_scoring": 10.0}]
            clock.now += 10
            for job in jobs:
                display.show(job, "epoch", Epoch(job.task.fold, 1, 4, 0.5, 0.4, 0.4, 1, 60.0, tuple(rows)))
            # The second epoch came too soon after the first to be written.
            assert "1 of 8 epochs" in page.path.read_text()
            clock.now += 5
            display.waited()
            drawn = page.path.read_text()
    assert "2 of 8 epochs" in drawn
    # Both at once: three epochs of a minute each.
    assert "about <b>3 min</b> left" in drawn
    printed = capsys.readouterr().out
    assert printed.count("fold 0: about 50 s per epoch, 3 min per fold, by its first steps") == 1
    assert "fold 1: about" not in printed
