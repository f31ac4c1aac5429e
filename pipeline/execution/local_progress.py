"""Progress of training on this machine."""

from __future__ import annotations

from pathlib import Path

from pipeline.execution.first_estimate import FirstEstimate
from pipeline.execution.messages import epoch_line, estimate_line, resumed_line, reused_line, unusable_line
from pipeline.execution.progress_page import ProgressPage
from pipeline.execution.task import TrainTask
from pipeline.system.progress import Epoch, FoldCallback, Progress, echo, short_path


class LocalProgress(FoldCallback):
    """Shows the training of several folds as one bar over all of them, or as one line per epoch.

    Args:
        task: the fold that is trained.
        number: how many folds were trained before.
        total: number of folds in this process; 0 where several processes print, which would overwrite each other's bar.
        page: shows the same in a browser.
    """

    def __init__(self, task: TrainTask, number: int, total: int, page: ProgressPage | None = None) -> None:
        self._number, self._total, self._epochs = number, max(total, 1), task.settings.train.epochs
        self._bar = None if total else False
        self._progress: Progress | None = None
        self._title, self._page = task.experiment, page
        # What the first fold has shown holds for those after it.
        self._estimate = FirstEstimate() if number == 0 else None
        self._in_turn, self._early = total > 0, bool(task.settings.train.early_stopping)

    def __enter__(self) -> LocalProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.close()

    def resumed(self, fold: int, done: int) -> None:
        echo(resumed_line(fold, done, self._epochs))

    def unusable(self, fold: int, kept: Path) -> None:
        echo(unusable_line(f"fold {fold}", short_path(kept)))

    def reused(self, fold: int, experiment: str) -> None:
        echo(reused_line(fold, experiment))

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        done = (self._number * self._epochs + epoch) * steps + step
        if self._progress is None:
            total = self._total * self._epochs * steps
            self._progress = Progress(f"{self._title} fold {fold}", total, "steps", done - step, bar=self._bar)
        self._progress.advance(done)
        if self._estimate is not None and (seconds := self._estimate.step(epoch, step, steps)):
            left = self._epochs - epoch
            in_all = left + (self._total - 1) * self._epochs if self._in_turn else None
            self._progress.echo(estimate_line(fold, seconds, left, in_all, self._early))
        if self._page is not None:
            self._page.renew(self._progress.echo)

    def epoch(self, result: Epoch) -> None:
        progress = self._progress
        if progress is None:
            return
        progress.note(f"epoch {result.epoch}/{result.epochs} score {result.score:.3f} best {result.best:.3f}")
        if not progress.drawn:
            echo(epoch_line(result, progress.remaining()))
        if self._page is not None:
            self._page.epoch(result, progress.echo)
