"""What the driver sends to a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline.artifacts import Freshness
from pipeline.execution.ray.resources import TaskResources
from pipeline.execution.task import FoldTask

Task = TypeVar("Task", bound=FoldTask, covariant=True)


@dataclass(frozen=True)
class TaskContext:
    """The same for all tasks of a run."""

    resources: TaskResources
    store: str
    """The store's address; empty where all machines see the root folder."""
    environment: dict[str, str]
    """Variables of the driver's environment to set."""
    progress: Any
    """Handle of the ``ProgressActor``."""


@dataclass(frozen=True)
class Job(Generic[Task]):
    """The work of one task."""

    number: int
    task: Task
    inputs: dict[str, str]
    """Fingerprints of what the fold is trained on, as the driver sees it."""
    starts: tuple[int, ...] = ()
    """First tiles of the chunks to predict."""


def input_fingerprints(task: FoldTask, freshness: Freshness) -> dict[str, str]:
    """Fingerprints of what a fold was, or will be, trained on, such as the tiles and the split, by label."""
    manifests = {each.label: freshness.manifest(each) for each in task.trained.inputs}
    return {name: manifest.fingerprint for name, manifest in manifests.items() if manifest}
