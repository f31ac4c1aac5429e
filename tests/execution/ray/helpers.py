"""A cluster on this machine, and commands that use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.execution.ray.tasks import SCRATCH
from tests.conftest import TINY, common

PROJECT = Path(__file__).parents[3]
LONGER = TINY.replace("train.epochs=2", "train.epochs=12").replace("survey.test=12", "survey.test=600")
"""Long enough to be killed in the middle, and with two chunks of test tiles."""
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


class Nodes:
    """A cluster of two nodes with one core each, and scratch folders of their own."""

    def __init__(self, scratch: Path) -> None:
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self.scratch = [scratch / "node-0", scratch / "node-1"]
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "include_dashboard": False,
                "object_store_memory": 80 * 2**20,
                "env_vars": {SCRATCH: str(self.scratch[0])},
            },
        )
        self._second: Any = None
        self.add_second()
        self.address = self._cluster.address

    def add_second(self) -> None:
        env = {SCRATCH: str(self.scratch[1])}
        self._second = self._cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20, env_vars=env)

    def lose_second(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)

    def shutdown(self) -> None:
        self._cluster.shutdown()


def start(*arguments: str, root: Path, settings: str = LONGER) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments, *common(root, settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ONE_CORE,
        cwd=PROJECT,
    )


def end(running: subprocess.Popen[str], status: int = 0) -> str:
    printed, error = running.communicate(timeout=600)
    assert running.returncode == status, printed + error
    assert "Traceback" not in error
    if status:
        lines = [line for line in error.splitlines() if line.strip()]
        assert len(lines) == 1, error
        return lines[0]
    return printed


def files(root: Path) -> set[str]:
    """Every file of a root folder but its locks."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts}


def wait_for(what: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not what():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def submitted(root: Path) -> bytes:
    return (root / "submissions/demo/demo.csv").read_bytes()
