"""What the driver shows of its tasks' events. Needs no Ray."""

from __future__ import annotations

import pytest

from pipeline.artifacts import Freshness
from pipeline.execution.ray.display import TrainingDisplay
from pipeline.execution.ray.jobs import Job
from pipeline.execution.ray.resources import TaskResources
from pipeline.stages import Context, train
from pipeline.system.progress import Epoch
from tests.system.test_progress import Clock


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
