"""What the driver shows of its tasks' progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.artifacts import Freshness
from pipeline.execution.first_estimate import FirstEstimate
from pipeline.execution.messages import epoch_line, estimate_line, resumed_line, reused_line, unusable_line
from pipeline.execution.progress_page import ProgressPage
from pipeline.execution.ray.chunks import count_test_tiles
from pipeline.execution.ray.jobs import Job
from pipeline.execution.ray.resources import TaskResources
from pipeline.execution.task import FoldTask, PredictTask, TrainTask
from pipeline.prediction import CHUNK
from pipeline.system.progress import Progress, echo


class Display:
    """Shows many tasks as one piece of work.

    Args:
        title: what is being done.
        total: how many units there are.
        unit: the unit's name, in the plural.
        named: whether lines begin with the experiment's name.
    """

    def __init__(self, title: str, total: int, unit: str, named: bool) -> None:
        self._progress = Progress(title, total, unit)
        self._named = named
        self._done: dict[int, int] = {}
        self._machines: dict[int, str] = {}

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.close()

    def show(self, job: Job[FoldTask], kind: str, value: Any) -> None:
        """Show an event of a task."""
        if kind == "started":
            lost = self._machines.get(job.number)
            if lost:
                self.line(job, f"fold {job.task.fold}: its worker on {lost} was lost; started again on {value}")
            self._machines[job.number] = value
            self._done[job.number] = 0

    def waited(self) -> None:
        """Called now and then, whether there are events or not."""

    def line(self, job: Job[FoldTask], text: str) -> None:
        """Print a line about a task."""
        self._progress.echo(f"{job.task.experiment} {text}" if self._named else text)


class PredictionDisplay(Display):
    """A bar over the tiles of all tasks."""

    def __init__(self, jobs: Sequence[Job[PredictTask]], named: bool) -> None:
        counts = {job.task.experiment: count_test_tiles(job.task, Freshness()) for job in jobs}
        tiles = sum(min(CHUNK, counts[job.task.experiment] - start) for job in jobs for start in job.starts)
        super().__init__("predict", tiles, "tiles", named)

    def __enter__(self) -> PredictionDisplay:
        return self

    def show(self, job: Job[FoldTask], kind: str, value: Any) -> None:
        super().show(job, kind, value)
        if kind == "tiles":
            self._done[job.number] = value
            self._progress(sum(self._done.values()))


class TrainingDisplay(Display):
    """A bar over the steps of all folds, or the lines of a run without Ray.

    Args:
        jobs: the folds.
        resources: of each.
        freshness: what is done.
        named: whether lines begin with the experiment's name.
        pages: of the experiments, by their names; they show the same in a browser.
    """

    def __init__(
        self,
        jobs: Sequence[Job[TrainTask]],
        resources: TaskResources,
        freshness: Freshness,
        named: bool,
        pages: Mapping[str, ProgressPage],
    ) -> None:
        self._pages = pages
        self._estimates = {job.task.experiment: (job.number, FirstEstimate()) for job in reversed(jobs)}
        self._epochs = {job.number: job.task.settings.train.epochs for job in jobs}
        self._steps = {job.number: _estimated_steps(job.task, freshness) for job in jobs}
        self._before = dict.fromkeys(self._epochs, 0)
        cpus, gpus = resources.cpus, resources.gpus
        each = f"{gpus:g} GPU" if gpus else f"{cpus} core{'s' if cpus > 1 else ''}"
        at_once = min(resources.slots, len(jobs))
        for page in pages.values():
            page.at_once = at_once
        echo(f"train: {len(jobs)} fold{'s' if len(jobs) > 1 else ''}, {at_once} at once, {each} each")
        super().__init__("train", self._total(), "steps", named)

    def __enter__(self) -> TrainingDisplay:
        return self

    def show(self, job: Job[FoldTask], kind: str, value: Any) -> None:
        super().show(job, kind, value)
        fold = job.task.fold
        if kind == "resumed":
            # Epochs of an earlier worker do not count for the pace.
            self._before[job.number] = value
            self.line(job, resumed_line(fold, value, self._epochs[job.number]))
        elif kind == "unusable":
            self.line(job, unusable_line(f"fold {fold}", value))
        elif kind == "reused":
            self.line(job, reused_line(fold, value))
        elif kind == "step":
            epoch, step, self._steps[job.number] = value
            self._advance(job, epoch, step)
            self._estimate(job, epoch, step)
        elif kind == "epoch":
            self._progress.note(f"fold {fold} epoch {value.epoch}/{value.epochs} score {value.score:.3f}")
            if not self._progress.drawn:
                self.line(job, epoch_line(value, self._progress.remaining()))
            if page := self._pages.get(job.task.experiment):
                page.epoch(value, self._progress.echo)

    def waited(self) -> None:
        """Bring the pages up to date."""
        for page in self._pages.values():
            page.renew(self._progress.echo)

    def done(self, job: Job[TrainTask], line: str) -> None:
        """Show that a fold is done, with a line about its result."""
        self._advance(job, self._epochs[job.number], 0)
        self.line(job, line)
        if page := self._pages.get(job.task.experiment):
            page.look(self._progress.echo)

    def _estimate(self, job: Job[FoldTask], epoch: int, step: int) -> None:
        """Print a first estimate, by one fold of each experiment."""
        number, estimate = self._estimates[job.task.experiment]
        steps, epochs = self._steps[job.number], self._epochs[job.number]
        if number == job.number and (seconds := estimate.step(epoch, step, steps)):
            early = bool(job.task.settings.train.early_stopping)
            self.line(job, estimate_line(job.task.fold, seconds, epochs - epoch, None, early))

    def _advance(self, job: Job[FoldTask], epoch: int, step: int) -> None:
        self._done[job.number] = (epoch - self._before[job.number]) * self._steps[job.number] + step
        self._progress.total = self._total()
        self._progress.advance(sum(self._done.values()))

    def _total(self) -> int:
        return sum((epochs - self._before[each]) * self._steps[each] for each, epochs in self._epochs.items())


def _estimated_steps(task: TrainTask, freshness: Freshness) -> int:
    """About how many steps an epoch has; the task's events give the exact number."""
    tiles = freshness.manifest(task.tiles)
    labelled, folds = tiles.result["train"] if tiles else 0, task.settings.split.folds
    return max(labelled * (folds - 1) // folds // task.settings.train.batch_size, 1)
