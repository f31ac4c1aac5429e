"""Train and predict the folds of one or several experiments on a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from pipeline.artifacts import Artifact, Freshness, locked, remove_backup, updating
from pipeline.config import ClusterSettings, UserError
from pipeline.execution.messages import fold_line
from pipeline.execution.progress_page import ProgressPage
from pipeline.execution.ray.chunks import chunk_starts, join_chunks, split_evenly
from pipeline.execution.ray.cluster import connected
from pipeline.execution.ray.display import PredictionDisplay, TrainingDisplay
from pipeline.execution.ray.driver import run_jobs
from pipeline.execution.ray.jobs import Job, input_fingerprints
from pipeline.execution.ray.resources import request_resources
from pipeline.execution.ray.store import has_chunk, open_store, pull_finished, pull_fold, push, push_started
from pipeline.execution.ray.tasks import predict_chunks, train_fold
from pipeline.execution.task import FoldTask, PredictTask, TrainTask
from pipeline.system.progress import echo


def train(
    tasks: Sequence[TrainTask], place: ClusterSettings, pages: Mapping[str, ProgressPage] = MappingProxyType({})
) -> None:
    """Train folds and predict their out-of-fold tiles, except what is done already.

    Args:
        tasks: folds of one or several experiments, all below one root folder.
        place: where.
        pages: show the progress; of the experiments, by their names.

    Raises:
        UserError: Ray is not installed, there is no cluster, or folds failed; the others are done.
    """
    # Absolute paths, which mean the same in every process.
    tasks, freshness = [task.moved(task.root.resolve()) for task in tasks], Freshness()
    named = _of_several_experiments(tasks)
    with ExitStack() as stack:
        store = open_store(place, tasks)
        if store is not None:
            for task in tasks:
                # Tasks on other machines do not see the locks here.
                stack.enter_context(locked(task.trained))
                stack.enter_context(locked(task.out_of_fold))
            tasks = [task for task in tasks if not pull_finished(store, task)]
            for task in tasks:
                push_started(store, task)
        if not tasks:
            return
        jobs = [Job(number, task, input_fingerprints(task, freshness)) for number, task in enumerate(tasks)]
        ray = stack.enter_context(connected(place))
        resources = request_resources(ray, place, len(jobs))
        display = stack.enter_context(TrainingDisplay(jobs, resources, freshness, named, pages))

        def done(job: Job[TrainTask]) -> None:
            task = job.task
            if store is not None:
                pull_fold(store, task)
                remove_backup(task.trained)
            now = Freshness()
            _require_done(now, task, task.trained, task.out_of_fold)
            display.done(job, fold_line(task, now))

        run_jobs(ray, train_fold, jobs, resources, place, display, done)


def predict(tasks: Sequence[PredictTask], place: ClusterSettings) -> None:
    """Predict the test tiles with the networks of these folds, in chunks side by side; arguments as in ``train``."""
    tasks, freshness = [task.moved(task.root.resolve()) for task in tasks], Freshness()
    named = _of_several_experiments(tasks)
    with ExitStack() as stack:
        for task in tasks:
            stack.enter_context(updating(task.predicted, invalidate_first=False))
        store = open_store(place, tasks)
        if store is not None:
            for task in tasks:
                push(store, task.trained)
        pending = [
            [start for start in chunk_starts(task, freshness) if not has_chunk(store, task, start)] for task in tasks
        ]
        if any(pending):
            ray = stack.enter_context(connected(place))
            resources = request_resources(ray, place, sum(map(len, pending)))
            jobs = _prediction_jobs(tasks, pending, resources.slots, freshness)
            display = stack.enter_context(PredictionDisplay(jobs, named))

            def done(job: Job[PredictTask]) -> None:
                now = Freshness()
                for start in job.starts:
                    part = job.task.part(start)
                    if store is not None:
                        store.pull(part, partial(Freshness().fits, part))
                    _require_done(now, job.task, part)

            run_jobs(ray, predict_chunks, jobs, resources, place, display, done)
        for task in tasks:
            count = join_chunks(task, chunk_starts(task, freshness))
            if store is not None:
                store.remove(task.part(0).folder)
            echo(f"{task.experiment + ' ' if named else ''}fold {task.fold}: {count:,} test tiles predicted")


def _prediction_jobs(
    tasks: Sequence[PredictTask], pending: Sequence[Sequence[int]], slots: int, freshness: Freshness
) -> list[Job[PredictTask]]:
    """Distribute the pending chunks of each fold over jobs.

    There are as many jobs as run at once. Where there are more folds than that, the chunks of each fold may be halved,
    so that fewer machines wait at the end.
    """
    folds = sum(map(bool, pending))
    per_fold = slots // folds if slots >= folds else 1 + bool(folds % slots)
    jobs = [
        Job(0, task, input_fingerprints(task, freshness), starts)
        for task, all_starts in zip(tasks, pending, strict=True)
        for starts in split_evenly(all_starts, per_fold)
    ]
    return [replace(job, number=number) for number, job in enumerate(jobs)]


def _of_several_experiments(tasks: Sequence[FoldTask]) -> bool:
    return len({task.experiment for task in tasks}) > 1


def _require_done(freshness: Freshness, task: FoldTask, *artifacts: Artifact) -> None:
    """Check that the driver sees what a task has made."""
    for artifact in artifacts:
        if not freshness.state(artifact).done:
            raise UserError(
                f"{artifact.name}: its task is done, but nothing of it is in {task.root}: its machine does not see "
                "this folder; share it between the machines, or name a store: STORE=s3://bucket/prefix (--store)"
            )
