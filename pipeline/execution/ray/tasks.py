"""What runs inside a task, on a machine of the cluster."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipeline.artifacts import Artifact, BusyError, Freshness, Manifest, backup_folder, backup_name, locked
from pipeline.artifacts.remote import Store
from pipeline.config import UserError, fingerprint
from pipeline.execution.backend import load_fold_module
from pipeline.execution.complete import complete_fold
from pipeline.execution.ray.jobs import Job, TaskContext, input_fingerprints
from pipeline.execution.ray.progress import RemoteCallback
from pipeline.execution.task import FoldTask, PredictTask, TrainTask
from pipeline.system import machine

LOCK_SECONDS = 90.0
"""How long a task waits for a fold's lock: a worker that was lost may take a moment to end."""
FETCH_SECONDS = 1800.0
"""How long a task waits for the lock of an artifact that another task on its machine may be fetching."""
SCRATCH = "PIPELINE_SCRATCH"
"""Environment variable of a machine: folder for copies of a store's artifacts; by default a temporary one."""

Task = TypeVar("Task", bound=FoldTask)


def train_fold(context: TaskContext, job: Job[TrainTask]) -> None:
    """Train one fold and predict its out-of-fold tiles."""
    task, freshness, store = _start(context, job)
    if store is None:
        _wait_for_lock(lambda: complete_fold(task, RemoteCallback(context, job), freshness))
        return
    backup = backup_folder(task.trained)

    def fetch_and_train() -> None:
        # A worker of this fold that was lost may not have ended yet: until then, the folder is its own.
        with locked(task.trained):
            # Only the store knows what is done of this fold: what is on this machine may be older.
            shutil.rmtree(task.trained.folder, ignore_errors=True)
            if not store.pull(task.trained, partial(freshness.fits, task.trained)):
                store.fetch(backup)
            freshness.forget()
            complete_fold(task, RemoteCallback(context, job, save=lambda: store.mirror(backup)), freshness)
            store.push(task.trained)
            store.push(task.out_of_fold)
            for name in store.names(task.trained.folder):
                # Not before: until the fold is trained, trainings with other settings can continue, as on one machine.
                if name.startswith(backup_name("")):
                    store.remove(task.trained.folder / name)
            shutil.rmtree(task.trained.folder, ignore_errors=True)

    _wait_for_lock(fetch_and_train)


def predict_chunks(context: TaskContext, job: Job[PredictTask]) -> None:
    """Predict some chunks of the test tiles with one fold's network."""
    task, freshness, store = _start(context, job)
    if store is not None:
        _fetch(store, task.trained, partial(freshness.fits, task.trained))
        freshness.forget()
    callback, done = RemoteCallback(context, job), 0

    def finished(part: Artifact, tiles: int) -> None:
        nonlocal done
        done += tiles
        if store is not None:
            store.push(part)
            for name in (part.manifest_name, *part.outputs):
                (part.folder / name).unlink()
        callback.send("tiles", done)

    load_fold_module().predict_test_parts(task, job.starts, freshness, finished)


def _start(context: TaskContext, job: Job[Task]) -> tuple[Task, Freshness, Store | None]:
    """Prepare this process: its resources, its folder, and the inputs in it.

    Returns:
        The task with its root folder on this machine, what is done there, and the store if there is one.

    Raises:
        UserError: this machine does not see the tiles.
    """
    import ray

    os.environ.update(context.environment)
    # Ray has chosen the GPU.
    machine.Resources(context.resources.cpus, context.resources.gpus).apply()
    address = ray.util.get_node_ip_address()
    RemoteCallback(context, job).send("started", address)
    task = job.task
    if not context.store:
        if input_fingerprints(task, Freshness()) != job.inputs:
            raise UserError(
                f"machine {address} does not see the tiles in {task.root}; share that folder between the machines, "
                "or name a store: STORE=s3://bucket/prefix (--store)"
            )
        return task, Freshness(), None
    base = Path(os.environ.get(SCRATCH) or Path(tempfile.gettempdir()) / "tgs-salt-pipeline")
    task = task.moved(base / fingerprint(context.store))
    store, inputs = Store(context.store, task.root), task.trained.inputs
    for artifact in inputs:
        _fetch(store, artifact, partial(_has_fingerprint, job.inputs[artifact.label]))
    return task, Freshness(trusted=inputs), store


def _has_fingerprint(wanted: str, manifest: Manifest) -> bool:
    return manifest.fingerprint == wanted


def _fetch(store: Store, artifact: Artifact, wanted: Callable[[Manifest], bool]) -> None:
    """Copy an artifact that must be in the store to this machine, unless it is here.

    Raises:
        UserError: the store has another one.
    """

    def pull() -> None:
        with locked(artifact):
            if not store.pull(artifact, wanted):
                raise UserError(
                    f"{store.address}: {artifact.name} there is another one than here; "
                    "give each root folder its own store"
                )

    _wait_for_lock(pull, FETCH_SECONDS)


def _wait_for_lock(work: Callable[[], None], seconds: float = LOCK_SECONDS) -> None:
    """Do work that needs a lock; try again for some time while another process holds it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
