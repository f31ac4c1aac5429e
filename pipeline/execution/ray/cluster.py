"""Connect to a Ray cluster, or start one on this machine."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pipeline
from pipeline.config import ClusterSettings, UserError


@contextmanager
def connected(place: ClusterSettings) -> Iterator[ModuleType]:
    """Ray, connected to the cluster at an address, or to one on this machine that ends with the block.

    Raises:
        UserError: Ray is not installed, there is no such cluster, or it is lost within the block.
    """
    ray = _import_ray()
    if place.address.startswith("ray://"):
        raise UserError(
            f"ADDRESS={place.address} (--address): run this command on a machine of the cluster, with ADDRESS=auto "
            "(--address auto)"
        )
    # Tasks run this very code, whatever is installed on their machine.
    options: dict[str, Any] = {"runtime_env": {"py_modules": [str(Path(pipeline.__file__).parent)]}}
    _check_address(place.address)
    if not place.address:
        # Only small objects go through Ray's memory: tasks exchange data on disk.
        options |= {"include_dashboard": False, "object_store_memory": 100 * 2**20}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            place.address or "local",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            configure_logging=True,
            **options,
        )
    except (ConnectionError, TimeoutError, ValueError, RuntimeError, OSError, AssertionError) as error:
        ray.shutdown()
        if not place.address:
            raise UserError(f"Ray does not start on this machine: {_one_line(error)}") from None
        raise _no_cluster(place.address, _one_line(error)) from None
    # Ray replaces the command line's handler of SIGTERM.
    signal.signal(signal.SIGTERM, on_sigterm)
    # When a machine is lost, Ray prints a page of its log, which ``log_to_driver`` does not suppress. A private name of
    # Ray, for which pyproject.toml caps its version.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield ray
    except ray.exceptions.RayError as error:
        raise UserError(
            f"the Ray cluster does not answer any more ({_one_line(error)}); start this command again"
        ) from None
    finally:
        ray.shutdown()


def _import_ray() -> ModuleType:
    # No usage statistics. And a task without a GPU hides the GPUs itself, see ``tasks``.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "--executor ray needs the package ray; type: make .venv/ready-cluster (or pip install '.[cluster]')"
        ) from None
    return ray


def _check_address(address: str) -> None:
    """Try to connect to an address, because Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise _no_cluster(address, str(error)) from None


def _no_cluster(address: str, reason: str) -> UserError:
    return UserError(
        f"--address {address}: no Ray cluster answers ({reason.rstrip('.')}); start one with 'ray start --head', "
        "or leave --address out to use this machine alone"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
