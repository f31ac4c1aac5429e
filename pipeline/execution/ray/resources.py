"""The cores and GPUs that each task requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from pipeline.config import ClusterSettings, UserError


@dataclass(frozen=True)
class TaskResources:
    """The part of a machine that a task gets."""

    cpus: int
    gpus: float
    slots: int
    """Tasks that the cluster runs at once."""


def request_resources(ray: ModuleType, place: ClusterSettings, tasks: int) -> TaskResources:
    """What each of some tasks requests of the connected cluster; see ``divide_cluster``."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return divide_cluster([(int(each.get("CPU", 0)), float(each.get("GPU", 0))) for each in machines], place, tasks)


def divide_cluster(machines: Sequence[tuple[int, float]], place: ClusterSettings, tasks: int) -> TaskResources:
    """What each of some tasks requests: the user's settings, else as much as lets most tasks run at once.

    Args:
        machines: (cores, GPUs) of each.
        place: the user's settings.
        tasks: how many.

    Raises:
        UserError: no machine has that much.
    """
    gpus = place.gpus_per_fold if place.gpus_per_fold is not None else float(any(gpu >= 1 for _, gpu in machines))

    def slots(cpus: int) -> int:
        return sum(min(core // cpus, int(gpu / gpus + 1e-9) if gpus else core) for core, gpu in machines)

    most = max((core for core, _ in machines), default=0)
    cpus = place.cpus_per_fold
    if cpus is None:
        # The most cores with which as many tasks run at once as with one core each.
        cpus = max((each for each in range(1, most + 1) if slots(each) >= min(tasks, slots(1))), default=1)
    if not slots(cpus):
        present = "; ".join(sorted({f"{core} cores and {gpu:g} GPUs" for core, gpu in machines}))
        raise UserError(
            f"a fold asks for {cpus} cores and {gpus:g} GPUs, which no machine of the cluster has (they have "
            f"{present}); set CPUS and GPUS (--cpus-per-fold, --gpus-per-fold)"
        )
    return TaskResources(cpus, gpus, slots(cpus))
