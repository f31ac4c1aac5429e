"""The cores and GPUs that tasks request."""

from __future__ import annotations

import pytest

from pipeline.config import ClusterSettings, UserError
from pipeline.execution.ray.resources import divide_cluster


@pytest.mark.parametrize(
    ("machines", "place", "tasks", "expected"),
    [
        ([(8, 0)], {}, 5, (1, 0, 8)),  # a laptop: five folds at once would leave three cores idle with more each
        ([(8, 0)], {}, 4, (2, 0, 4)),
        ([(8, 0)], {}, 1, (8, 0, 1)),
        ([(2, 0)], {}, 5, (1, 0, 2)),
        ([(0, 0), (4, 0), (4, 0)], {}, 5, (1, 0, 8)),  # a head that works on nothing
        ([(16, 0), (4, 0)], {}, 5, (4, 0, 5)),
        ([(32, 4)], {}, 5, (8, 1, 4)),  # a fold on each GPU
        ([(32, 4), (64, 0)], {}, 5, (8, 1, 4)),  # the machine without a GPU takes none
        ([(32, 4)], {"gpus_per_fold": 0.5}, 8, (4, 0.5, 8)),
        ([(32, 4)], {"gpus_per_fold": 0.0}, 8, (4, 0, 8)),
        ([(8, 0)], {"cpus_per_fold": 3}, 5, (3, 0, 2)),
    ],
)
def test_as_many_tasks_as_possible_run_at_once(
    machines: list, place: dict, tasks: int, expected: tuple[int, float, int]
):
    resources = divide_cluster(machines, ClusterSettings(**place), tasks)
    assert (resources.cpus, resources.gpus, resources.slots) == expected


@pytest.mark.parametrize("place", [{"cpus_per_fold": 9}, {"gpus_per_fold": 1.0}])
def test_more_than_any_machine_has_is_refused(place: dict):
    with pytest.raises(UserError, match="they have 4 cores and 0 GPUs; 8 cores and 0 GPUs"):
        divide_cluster([(8, 0), (4, 0)], ClusterSettings(**place), 2)
