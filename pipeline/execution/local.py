"""Run folds on this machine: one after the other in this process, or several at once in a process each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from pipeline.artifacts import Freshness
from pipeline.config import UserError
from pipeline.execution.backend import load_fold_module
from pipeline.execution.complete import complete_fold
from pipeline.execution.local_progress import LocalProgress
from pipeline.execution.messages import fold_line
from pipeline.execution.progress_page import INTERVAL, ProgressPage
from pipeline.execution.task import FoldTask, PredictTask, TrainTask
from pipeline.execution.workers import terminated_on_error, workers
from pipeline.system import disk, machine
from pipeline.system.progress import Progress, echo, fold_names

Task = TypeVar("Task", bound=FoldTask)
_MORE_MEMORY = "free some memory, or set a smaller train.batch_size, and run the same command again to continue"


def train(tasks: Sequence[TrainTask], jobs: int = 1, page: ProgressPage | None = None) -> None:
    """Train folds and predict their out-of-fold tiles, except what is done already.

    Args:
        tasks: folds of one experiment.
        jobs: folds at once; each gets an equal number of cores, and one of the NVIDIA GPUs, or a share of one where
            there are fewer GPUs than folds at once. Folds that are left over at the end share all cores and GPUs.
        page: shows the progress.

    Raises:
        UserError: a fold failed; the others are done. Where a process was killed, as by the system when the memory is
            full, the folds that are left continue one at a time, and only one that is killed again has failed.
    """
    _run(_train_fold, tasks, jobs, page)


def predict(tasks: Sequence[PredictTask], jobs: int = 1) -> None:
    """Predict the test tiles with the networks of these folds; arguments and errors as in ``train``."""
    _run(_predict_fold, tasks, jobs)


def _run(
    run_one: Callable[[Task, int, int, ProgressPage | None], None],
    tasks: Sequence[Task],
    jobs: int,
    page: ProgressPage | None = None,
) -> None:
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        _run_in_turn(run_one, tasks, page)
        return
    # The folds that are left over when the others are done share all cores: of five, two at once, the last has them.
    together = len(tasks) // jobs * jobs
    errors, killed = _run_at_once(run_one, tasks[:together], jobs, page)
    left = tasks[together:]
    if left and not killed:
        more, killed = _run_at_once(run_one, left, len(left), page)
        errors, left = errors + more, []
    if killed:
        # A pool whose process is killed ends all others, and does not say which one it was.
        alone = sorted([*killed, *left], key=tasks.index)
        echo(
            f"a process was killed, perhaps because the memory is full; {fold_names(task.fold for task in alone)} "
            f"{'continue one at a time' if len(alone) > 1 else 'continues alone'}"
        )
        for task in alone:
            more, again = _run_at_once(run_one, [task], 1, page)
            errors += more + [f"fold {each.fold}: its process was killed; {_MORE_MEMORY}" for each in again]
    if errors:
        raise UserError("; ".join(errors))


def _run_in_turn(
    run_one: Callable[[Task, int, int, ProgressPage | None], None], tasks: Sequence[Task], page: ProgressPage | None
) -> None:
    """Run tasks in this process, one after the other; one that fails does not keep the others from being done."""
    errors = list[UserError]()
    for number, task in enumerate(tasks):
        try:
            run_one(task, number, len(tasks), page)
        except UserError as error:
            errors.append(error)
            if number < len(tasks) - 1:
                echo(f"{error}; the other folds follow")
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise UserError("; ".join(dict.fromkeys(map(str, errors))))


def _run_at_once(
    run_one: Callable[[Task, int, int, ProgressPage | None], None],
    tasks: Sequence[Task],
    jobs: int,
    page: ProgressPage | None,
) -> tuple[list[str], list[Task]]:
    """Run tasks in processes that share the machine.

    Returns:
        What went wrong, one text for each fold that failed; and the tasks that were not done when a process was killed.
    """
    # Not forked: a framework's threads and its use of a GPU do not survive a fork.
    context = multiprocessing.get_context("spawn")
    errors, killed = list[str](), list[Task]()
    with workers(context, machine.divide(jobs, machine.cores(), machine.gpus())) as pool, terminated_on_error(pool):
        running = {pool.submit(run_one, task, 0, 0, None): task for task in tasks}
        for done in _as_completed(running, page):
            error = done.exception()
            if isinstance(error, UserError):
                errors.append(str(error))
            elif isinstance(error, BrokenProcessPool):
                killed.append(running[done])
            elif error is not None:
                reason = disk.failure(error) or f"its process ended with {error or type(error).__name__}"
                errors.append(f"fold {running[done].fold}: {reason}")
    return errors, killed


def _as_completed(running: Iterable[Future[None]], page: ProgressPage | None) -> Iterator[Future[None]]:
    """The futures as they complete; meanwhile the page is kept up to date with what the processes save."""
    left = set(running)
    while left:
        done, left = wait(left, timeout=None if page is None else INTERVAL, return_when=FIRST_COMPLETED)
        yield from done
        if page is not None:
            page.look()


def _train_fold(task: TrainTask, number: int, total: int, page: ProgressPage | None) -> None:
    """Train fold ``number`` of ``total`` in this process; ``total`` is 0 where other processes print too."""
    freshness = Freshness()
    with LocalProgress(task, number, total, page) as progress:
        complete_fold(task, progress, freshness)
    echo(fold_line(task, freshness))
    if page is not None:
        page.look()


def _predict_fold(task: PredictTask, number: int, total: int, page: ProgressPage | None) -> None:
    """Predict with fold ``number`` of ``total``; the page shows trainings only."""
    fold_module = load_fold_module()
    with Progress(f"predict fold {task.fold}", 1, "tiles", bar=None if total else False) as progress:
        tiles = Freshness().manifest(task.tiles)
        progress.total = tiles.result["test"] if tiles else 1
        fold_module.predict_test(task, progress)
    echo(f"fold {task.fold}: {progress.done:,} test tiles predicted")
