"""Runs commands with a full or failing disk below them: ``disk_errors.c`` by ``LD_PRELOAD``, a forked process each.

``python -m tests.disk_errors`` is the server. It imports what all commands need once, which takes longer than most of
the commands, and has run nothing yet when it forks.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
HOW = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "full": -1, "kill": -2}
"""Ways to fail, as ``disk_errors.c`` describes them."""


def library(folder: Path) -> Path:
    """Compile the library; the test is skipped where that cannot be done."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("the library that makes the disk fail needs Linux and a C compiler")
    path = folder / "disk_errors.so"
    built = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", str(path), str(HERE / "disk_errors.c"), "-ldl"]
    subprocess.run(built, check=True)
    return path


def environment(folder: Path) -> dict[str, str]:
    """What a process needs to be failed."""
    path = str(library(folder))
    return os.environ | {"LD_PRELOAD": path, "DISK_ERRORS": path}


def arm(root: Path, log: Path, at: int, how: int, reads: bool) -> None:
    """Let call number ``at`` below ``root`` fail in this process, which has the library preloaded."""
    loaded = ctypes.CDLL(os.environ["DISK_ERRORS"])
    loaded.arm(str(root).encode(), str(log).encode(), ctypes.c_long(at), ctypes.c_long(how), int(reads))


def disarm() -> None:
    """Let no call of this process fail any more."""
    ctypes.CDLL(os.environ["DISK_ERRORS"]).disarm()


@dataclass
class Ran:
    """A command that has ended."""

    status: int
    printed: str
    error: str
    calls: list[str]
    """Each call below the root, as ``NAME PATH``; with a failure, the one that failed."""


class Server:
    """Runs commands with failures; each in a process that is forked from one that has imported everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.disk_errors"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE.parent,
            env=environment(folder),
        )

    def __call__(
        self, root: Path, *arguments: str, at: int | None = None, how: str = "EIO", reads: bool = False
    ) -> Ran:
        """Run one command.

        Args:
            root: below which calls fail; it has no link in its path.
            arguments: of the command line.
            at: number of the call that fails, the first is 1; 0 fails none and lists all.
            how: a key of ``HOW``.
            reads: reading calls are meant, not writing ones.
        """
        places = {name: self._folder / name for name in ("printed", "error", "calls")}
        for place in places.values():
            place.write_text("")
        job = {"root": str(root), "arguments": arguments, "at": at, "how": HOW[how], "reads": reads}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps(job | {name: str(place) for name, place in places.items()}),
            file=self._process.stdin,
            flush=True,
        )
        status = int(self._process.stdout.readline())
        printed, error, calls = (place.read_text() for place in places.values())
        return Ran(status, printed, error, calls.splitlines())

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)


def _serve() -> None:
    """Run what standard input asks for, line by line; answer with the exit status."""
    for name in (
        "pandas",
        "cv2",
        "sklearn.model_selection",
        "matplotlib.pyplot",
        "filelock",
        "pipeline.execution.fold",
    ):
        __import__(name)
    for stage in (HERE.parent / "pipeline/stages").glob("[a-z]*.py"):
        __import__(f"pipeline.stages.{stage.stem}")
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(job)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(job: dict) -> None:
    from pipeline.cli import main as command_line

    status = 1
    with contextlib.suppress(BaseException):
        for number, name in ((1, "printed"), (2, "error")):
            os.dup2(os.open(job[name], os.O_WRONLY | os.O_APPEND), number)
        sys.argv = ["pipeline", *job["arguments"]]
        if job["at"] is not None:
            arm(Path(job["root"]), Path(job["calls"]), job["at"], job["how"], job["reads"])
        try:
            command_line.run()
        except SystemExit as ended:
            status = int(ended.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve()
