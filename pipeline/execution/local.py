"""Run folds: in turn in this process, or several at once in processes of their own."""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from multiprocessing.sharedctypes import Synchronized
from types import ModuleType
from typing import Any

from pipeline import artifacts
from pipeline.artifacts import Freshness
from pipeline.config import UserError
from pipeline.execution.task import FoldTask, PredictTask, TrainTask
from pipeline.system import disk, machine
from pipeline.system.progress import Epoch, FoldCallback, Progress, echo, format_duration
from pipeline.system.worker import start_worker

BACKENDS = ("tensorflow", "jax", "torch")
"""Of Keras, those that train; the first is the default."""


def train(tasks: Sequence[TrainTask], jobs: int = 1) -> None:
    """Train folds and predict their out-of-fold tiles, whatever of it is not done yet.

    Args:
        tasks: folds of one experiment.
        jobs: folds at once; each gets an equal share of the processor's cores, and one of the NVIDIA GPUs, or a share
            of one where there are fewer GPUs than folds at once.
    """
    _run(_train_one, tasks, jobs)


def predict(tasks: Sequence[PredictTask], jobs: int = 1) -> None:
    """Predict the test tiles with the networks of these folds."""
    _run(_predict_one, tasks, jobs)


def _run(work: Callable[[Any, int, int], None], tasks: Sequence[FoldTask], jobs: int) -> None:
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        for turn, task in enumerate(tasks):
            work(task, turn, len(tasks))
        return
    # Fresh interpreters: a framework's threads and its hold on a GPU do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with workers(context, machine.divide(jobs, machine.cores(), machine.gpus())) as pool, _ending_with_us(pool):
        running = {pool.submit(work, task, 0, 0): task.fold for task in tasks}
        errors: list[str] = []
        for done in as_completed(running):
            error = done.exception()
            if isinstance(error, UserError):
                errors.append(str(error))
            elif error is not None:
                told = disk.failure(error) or f"its process ended with {error or type(error).__name__}"
                errors.append(f"fold {running[done]}: {told}")
    if errors:
        raise UserError("; ".join(errors))


@contextmanager
def _ending_with_us(pool: ProcessPoolExecutor) -> Iterator[None]:
    """End the workers where the block is interrupted: the pool itself would wait for their folds, perhaps for hours."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise


def workers(context: SpawnContext, resources: Sequence[machine.Resources]) -> ProcessPoolExecutor:
    """A pool with one process for each of the resources."""
    taken = context.Value("i", 0)
    return ProcessPoolExecutor(len(resources), context, initializer=_begin, initargs=(taken, resources))


def _begin(taken: Synchronized[int], resources: Sequence[machine.Resources]) -> None:
    """Start a worker process, before it imports a framework."""
    start_worker()
    with taken.get_lock():
        number = taken.value
        taken.value += 1
    resources[number].apply()


def load_work() -> ModuleType:
    """Import what runs inside a fold, and with it the framework.

    Raises:
        UserError: the backend that was asked for is unknown or not installed.

    TensorFlow writes a page of notes to standard error as it starts and first looks for a GPU, from C++, whatever the
    level of its log. They would bury a user's progress bar; a real failure still arrives as an exception.
    """
    _check_backend(os.environ.get("KERAS_BACKEND") or BACKENDS[0])
    # Every fold is a network of its own; TensorFlow would warn of each that it is traced anew.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _quiet():
        from pipeline.execution import fold as work
        from pipeline.network import device

        device.gpus()
    return work


def _check_backend(name: str) -> None:
    if name not in BACKENDS:
        raise UserError(f"KERAS_BACKEND = {name}: take {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}")
    if importlib.util.find_spec(name) is None:
        how = "make .venv/ready-jax installs it" if name == "jax" else f"{sys.executable} -m pip install {name} does it"
        raise UserError(f"KERAS_BACKEND = {name}: the package {name} is not installed; {how}, or take another backend")


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing written to standard error's file descriptor is seen, for as long as the block lasts."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def train_one(task: TrainTask, callback: FoldCallback, freshness: Freshness) -> None:
    """Train one fold and predict its out-of-fold tiles, whatever of it is not done yet, in this process."""
    if not freshness.state(task.trained).done:
        if other := artifacts.reuse_weights(task.trained):
            callback.reused(task.fold, other)
        else:
            load_work().train_fold(task, callback)
        freshness.forget()
    if not freshness.state(task.out_of_fold).done:
        load_work().predict_out_of_fold(task)
        freshness.forget()


def fold_line(task: TrainTask, freshness: Freshness) -> str:
    """What came of a fold, in a line."""
    trained, found = freshness.manifest(task.trained), freshness.manifest(task.out_of_fold)
    if not trained or not found:
        return f"fold {task.fold}: not trained"
    epochs = trained.result.get("kept_epochs", [trained.result["best_epoch"]])
    best = f"best epoch {epochs[0]}" if len(epochs) == 1 else f"snapshots of epochs {', '.join(map(str, epochs))}"
    return (
        f"fold {task.fold}: {best} of {trained.result['epochs']}, "
        f"out-of-fold score {found.result['score_at_half']:.4f} at 0.5, "
        f"{format_duration(trained.result['seconds'])}"
    )


def reused_line(fold: int, experiment: str) -> str:
    """That a fold's network came from another experiment."""
    return f"fold {fold}: experiment {experiment} has trained the same network; taken from there"


def epoch_line(told: Epoch, remaining: float) -> str:
    """An epoch, in a line of a log; ``remaining`` is in seconds."""
    return (
        f"fold {told.fold}  epoch {told.epoch:>3}/{told.epochs}  loss {told.loss:.4f}  score {told.score:.4f}  "
        f"best {told.best:.4f} (epoch {told.best_epoch})  {format_duration(told.seconds)}  "
        f"ETA {format_duration(remaining)}"
    )


def _train_one(task: TrainTask, turn: int, turns: int) -> None:
    """Train one fold; ``turns`` is 0 in a process of its own, where a bar would write over the others'."""
    freshness = Freshness()
    with _Reporter(task, turn, turns) as reporter:
        train_one(task, reporter, freshness)
    echo(fold_line(task, freshness))


def _predict_one(task: PredictTask, turn: int, turns: int) -> None:
    work = load_work()
    with Progress(f"predict fold {task.fold}", 1, "tiles", bar=None if turns else False) as progress:
        found = Freshness().manifest(task.tiles)
        progress.total = found.result["test"] if found else 1
        work.predict_test(task, progress)
    echo(f"fold {task.fold}: {progress.done:,} test tiles predicted")


class _Reporter(FoldCallback):
    """Shows the training of several folds as one piece of work: a bar over all of them, or a line per epoch."""

    def __init__(self, task: FoldTask, turn: int, turns: int) -> None:
        self._turn, self._turns, self._epochs = turn, max(turns, 1), task.settings.train.epochs
        self._bar = None if turns else False
        self._progress: Progress | None = None
        self._title = task.experiment

    def __enter__(self) -> _Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.close()

    def resumed(self, fold: int, done: int) -> None:
        echo(f"fold {fold}: goes on after epoch {done} of {self._epochs}")

    def reused(self, fold: int, experiment: str) -> None:
        echo(reused_line(fold, experiment))

    def step(self, fold: int, epoch: int, step: int, steps: int) -> None:
        done = (self._turn * self._epochs + epoch) * steps + step
        if self._progress is None:
            total = self._turns * self._epochs * steps
            self._progress = Progress(f"{self._title} fold {fold}", total, "steps", done - step, bar=self._bar)
        self._progress.advance(done)

    def epoch(self, told: Epoch) -> None:
        progress = self._progress
        if progress is None:
            return
        progress.note(f"epoch {told.epoch}/{told.epochs} score {told.score:.3f} best {told.best:.3f}")
        if not progress.drawn:
            echo(epoch_line(told, progress.remaining()))
