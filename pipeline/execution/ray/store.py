"""What the driver copies to and from the store, for machines that do not see the root folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pipeline.artifacts import Artifact, Freshness, backup_folder, locked, started
from pipeline.artifacts.remote import Store
from pipeline.config import ClusterSettings
from pipeline.execution.messages import fold_line
from pipeline.execution.task import FoldTask, PredictTask, TrainTask
from pipeline.system.progress import echo


def open_store(place: ClusterSettings, tasks: Sequence[FoldTask]) -> Store | None:
    """The store with the tasks' tiles and splits in it; None where the user has set none."""
    if not place.store or not tasks:
        return None
    store = Store(place.store, tasks[0].root)
    for artifact in {each.manifest_path: each for task in tasks for each in task.trained.inputs}.values():
        push(store, artifact)
    return store


def push(store: Store, artifact: Artifact) -> None:
    """Copy an artifact to the store; one command at a time does so."""
    if not store.has(artifact):
        with locked(artifact):
            store.push(artifact)


def pull_fold(store: Store, task: TrainTask) -> None:
    """Copy what is finished of a fold from the store, unless it is here."""
    for artifact in (task.trained, task.out_of_fold):
        freshness = Freshness()
        if not freshness.state(artifact).done:
            store.pull(artifact, partial(freshness.fits, artifact))


def pull_finished(store: Store, task: TrainTask) -> bool:
    """Copy what an earlier run has left of a fold in the store; returns whether the fold is done now."""
    pull_fold(store, task)
    freshness = Freshness()
    if not (freshness.state(task.trained).done and freshness.state(task.out_of_fold).done):
        return False
    echo(fold_line(task, freshness))
    return True


def push_started(store: Store, task: TrainTask) -> None:
    """Copy what is here of a fold to the store: its network, or its last finished epoch."""
    backup = backup_folder(task.trained)
    if Freshness().state(task.trained).done:
        store.push(task.trained)
    elif started(task.trained) and not store.names(backup):
        store.mirror(backup)


def has_chunk(store: Store | None, task: PredictTask, start: int) -> bool:
    """Whether a chunk of predictions is done and here, if need be after copying it from the store."""
    freshness, part = Freshness(), task.part(start)
    if store is not None and not freshness.state(part).done:
        store.pull(part, partial(freshness.fits, part))
        freshness.forget()
    return freshness.state(part).done
