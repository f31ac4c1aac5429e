"""The driver's loop: run tasks, show their progress, and collect their errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import TypeVar

from pipeline.config import ClusterSettings, UserError
from pipeline.execution.ray.display import Display
from pipeline.execution.ray.jobs import Job, TaskContext
from pipeline.execution.ray.progress import INTERVAL, ProgressActor
from pipeline.execution.ray.resources import TaskResources
from pipeline.execution.task import FoldTask
from pipeline.system import disk

RETRIES = 8
"""Workers that a task may lose before it fails."""
PASSED = ("KERAS_BACKEND", "NO_ALBUMENTATIONS_UPDATE", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")
"""Variables of the driver's environment that are set in its tasks."""

Task = TypeVar("Task", bound=FoldTask)


def run_jobs(
    ray: ModuleType,
    work: Callable[[TaskContext, Job[Task]], None],
    jobs: Sequence[Job[Task]],
    resources: TaskResources,
    place: ClusterSettings,
    display: Display,
    done: Callable[[Job[Task]], None],
) -> None:
    """Run a task for each job.

    Args:
        ray: connected.
        work: runs inside each task.
        jobs: numbered from 0 in their order.
        resources: of each task.
        place: where.
        display: shows the tasks' events.
        done: called in this process after each task.

    Raises:
        UserError: tasks failed; all others are done.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    progress = ray.remote(num_cpus=0, max_restarts=-1)(ProgressActor).options(scheduling_strategy=here).remote()
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    context = TaskContext(resources, place.store, environment, progress)
    # A process for each task (max_calls): a framework reads its threads and its GPU once in a process.
    task = ray.remote(
        num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=RETRIES, max_calls=1, scheduling_strategy="SPREAD"
    )(work)
    running = {task.remote(context, job): job for job in jobs}
    errors: list[str] = []
    while running:
        ready, _ = ray.wait(list(running), timeout=INTERVAL)
        # A task sends its last event before it ends, so these include it. Losing events only affects the display.
        with suppress(ray.exceptions.RayActorError):
            for number, kind, value in ray.get(progress.take.remote()):
                display.show(jobs[number], kind, value)
        display.waited()
        for each in ready:
            job = running.pop(each)
            try:
                ray.get(each)
                done(job)
            except (ray.exceptions.RayError, UserError) as error:
                errors.append(_explain(ray, job, error))
    if errors:
        raise UserError("; ".join(dict.fromkeys(errors)))


def _explain(ray: ModuleType, job: Job[FoldTask], error: Exception) -> str:
    """One line about a task's error, the same as without Ray where there is one."""
    cause = getattr(error, "cause", None) if isinstance(error, ray.exceptions.RayTaskError) else error
    if isinstance(cause, UserError):
        return str(cause)
    name = f"{job.task.experiment} fold {job.task.fold}"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return f"{name}: its machine ran out of memory; fewer folds at once need less: raise CPUS (--cpus-per-fold)"
    if isinstance(error, ray.exceptions.RayTaskError):
        if reason := disk.failure(cause):
            return f"{name}: {reason}"
        return f"{name}: its task ended with {type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
    return (
        f"{name}: lost its worker {RETRIES + 1} times ({type(error).__name__}); run the same command again to continue"
    )
