"""Commands in processes of their own that do not spend seconds importing libraries.

A server process imports the libraries once; each command is a fork of it. It has its own environment, working directory
and output, as a command that a user types, and can be killed. That the real program starts and fails as it should is
tested in ``tests/test_end_to_end.py``.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_PRELOADED = [
    "bleach",
    "jinja2",
    "kagglesdk.kaggle_client",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "pipeline.cli.main",
    "requests",
]
"""What a command that calls Kaggle and writes the leaderboard imports. Kaggle's client itself signs in on import."""
TIMEOUT = 240.0
"""Seconds after which a command counts as hanging."""
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(_PRELOADED)


def start(
    arguments: list[str],
    environment: dict[str, str],
    folder: Path,
    output: str = os.devnull,
    error: str = os.devnull,
) -> ForkServerProcess:
    """Start ``python -m pipeline`` with these arguments in a folder; output and error are paths of files."""
    process = _SERVER.Process(target=_pipeline, args=(arguments, environment, folder, output, error), daemon=True)
    process.start()
    return process


def run(arguments: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m pipeline`` with these arguments in a folder."""
    with tempfile.NamedTemporaryFile("r") as output, tempfile.NamedTemporaryFile("r") as error:
        process = start(arguments, environment, folder, output.name, error.name)
        process.join(TIMEOUT)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, TIMEOUT)
        return subprocess.CompletedProcess(arguments, process.exitcode, output.read(), error.read())


def _pipeline(arguments: list[str], environment: dict[str, str], folder: Path, output: str, error: str) -> None:
    for path, descriptor in ((output, 1), (error, 2)):
        os.dup2(os.open(path, os.O_WRONLY), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[1:] = arguments
    from pipeline.__main__ import main

    main()
