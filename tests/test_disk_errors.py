"""A disk that is full or fails: no wrong byte counts as done, and the error is printed in one line.

Calls of the system are failed by a preloaded library (``disk_errors.c``). The chain, call by call, carries the marker
``faults`` (make test-faults); DISK_ERRORS=3 fails three times as many calls, DISK_ERRORS=all every one of them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pipeline.artifacts import measure
from pipeline.cli import main as command_line
from pipeline.system import disk
from pipeline.system.atomic import write_bytes
from tests.conftest import common
from tests.disk_errors import HERE, HOW, Server, environment
from tests.test_faults import content

SETTINGS = (
    "survey.train=16 survey.test=4 split.folds=2 split.bins=2 network.width=4 network.levels=1 network.blocks=1 "
    "network.residual=false train.epochs=2 train.batch_size=4 train.precision=float32"
)
FOLDS = ("--folds", "0")


class Stage(NamedTuple):
    """A command whose calls fail."""

    command: str
    before: str
    """The snapshot that it begins with."""
    cases: int
    """How many calls fail, spread over all of them."""
    first: str = ""
    """Only calls from the first one on a file of this name."""


STAGES = {
    "download": Stage("download", "", 32),
    "prepare": Stage("prepare", "download", 28),
    "split": Stage("split", "prepare", 24),
    "train": Stage("train", "split", 3),
    "export": Stage("train", "trained", 6, "best.weights.h5"),
    "report": Stage("report", "exported", 8),
    "predict": Stage("predict", "train", 8),
    "submit": Stage("submit", "predict", 32),
}
HARMLESS = {
    r"^close .*\.npy$": (
        "Python's mmap closes its own descriptor without a check; what is written through it was synced before, "
        "and nothing is lost of what is only read"
    ),
    r"^close .*\.lock$": "filelock ignores an error here; the lock is released before, and the file holds nothing",
}
"""Calls that may fail without a message, as ``NAME PATTERN``, and why nothing is lost."""
WARNING = r"(?m)^warning: \S*progress\.html is not up to date \(.+\); training goes on$"
"""Printed where only the page of a training that runs could not be made."""


# ---- One file -------------------------------------------------------------------------------------------------------

FILE = """
import sys
from pathlib import Path
from pipeline.system.atomic import write_bytes
from tests.disk_errors import arm, disarm

root, log, how = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
path = root / "folder" / "file"

def failed(at):
    path.write_bytes(b"old")
    arm(root, log, at, how, False)
    try:
        write_bytes(path, b"new")
        word = "written"
    except OSError as error:
        word = "error" if error.filename else "nameless"
    disarm()
    return f"{word} {path.read_text()}"

path.parent.mkdir()
failed(0)
calls = log.read_text().splitlines()
for number, call in enumerate(calls, start=1):
    print(call.split()[0], failed(number))
"""


@pytest.mark.parametrize("how", ["EIO", "ENOSPC", "full"])
def test_each_call_that_writes_a_file_is_checked(tmp_path: Path, how: str):
    root = tmp_path / "root"
    root.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", FILE, str(root), str(tmp_path / "log"), str(HOW[how])],
        env=environment(tmp_path),
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    # The file is written, read back and synced; once it has its new name, it is whole, and the folder is synced.
    calls = ["write", "fsync", "close", "close", "fsync", "close", "rename", "fsync", "close"]
    lines = [f"{name} error {'old' if place <= calls.index('rename') else 'new'}" for place, name in enumerate(calls)]
    if how == "full":
        lines = [lines[0], *(f"{name} written new" for name in calls[1:])]
    assert ran.stdout.splitlines() == lines


def test_a_file_that_reads_back_with_other_bytes_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    whole = os.fsync

    def damaged(number: int) -> None:
        with contextlib.suppress(OSError):
            os.pwrite(number, b"X", 2)
        whole(number)

    monkeypatch.setattr(os, "fsync", damaged)
    with pytest.raises(OSError, match="contains other bytes") as caught:
        write_bytes(path, b"content")
    assert caught.value.errno == errno.EIO
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


# ---- One line -------------------------------------------------------------------------------------------------------


def chained(error: Exception, cause: Exception) -> Exception:
    try:
        try:
            raise cause
        except Exception as first:
            raise error from first
    except Exception as both:
        return both


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "No space left on device: /x/y; free some and run"),
        (chained(ValueError("no"), OSError(errno.EIO, "Input/output error")), "Input/output error; check the disk and"),
        (OSError(errno.EROFS, "Read-only file system", b"/x"), "Read-only file system: /x; make it writable and run"),
        (
            RuntimeError(
                "Can't decrement id ref count (file write failed: time = Mon, filename = 'x', file descriptor = 3, "
                "errno = 28, error message = 'No space left on device', buf = 0x1)"
            ),
            "No space left on device; free some and run the same command again",
        ),
    ],
)
def test_an_error_of_the_disk_is_printed_in_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken(options: object) -> None:
        raise error

    monkeypatch.setitem(command_line.COMMANDS, "experiments", broken)
    assert command_line.main(["experiments"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")


def test_other_errors_are_no_errors_of_the_disk():
    assert disk.failure(None) == ""
    for error in (FileNotFoundError(errno.ENOENT, "no"), PermissionError(errno.EACCES, "no"), ValueError("file 28")):
        assert disk.failure(error) == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["experiments", "--help"])
@pytest.mark.parametrize("both", [False, True])
def test_output_that_cannot_be_written_is_an_error(command: str, both: bool):
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "pipeline", command],
            stdout=full,
            stderr=full if both else subprocess.PIPE,
            cwd=HERE.parent,
            text=True,
        )
    assert ran.returncode == 2
    if not both:
        assert re.fullmatch(r"error: No space left on device(: standard output)?; free some and run .*\n", ran.stderr)


def test_an_unreadable_manifest_is_not_treated_as_a_missing_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    whole, before = Path.read_bytes, content(root)

    def failing(path: Path) -> bytes:
        if path.name == "train.json":
            raise OSError(errno.EIO, "Input/output error")
        return whole(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", failing)
        assert command_line.main(["submit", *common(root)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Input/output error: ")
    assert "train.json; check the disk" in error
    assert content(root) == before


# ---- The chain, call by call ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server").resolve())
    yield server
    server.close()


def arguments(command: str, root: Path) -> list[str]:
    return [command, *FOLDS, *common(root, SETTINGS)]


class Snapshots:
    """The root folder after each command of an undisturbed run, made when it is first asked for."""

    def __init__(self, server: Server, place: Path) -> None:
        self._server, self._place = server, place

    def __call__(self, name: str) -> Path:
        """The folder of a snapshot, which is only to be read."""
        folder = self._place / name
        if not folder.is_dir():
            making = self._place / "making"
            shutil.rmtree(making, ignore_errors=True)
            getattr(self, f"_{name}", lambda making: self._ran(name, making))(making)
            making.rename(folder)
        return folder

    def _ran(self, command: str, making: Path) -> None:
        before = STAGES[command].before
        if before:
            shutil.copytree(self(before), making)
        ran = self._server(making, *arguments(command, making))
        assert ran.status == 0, ran.error

    def _trained(self, making: Path) -> None:
        """All epochs are done, and nothing of them is exported yet."""
        shutil.copytree(self("split"), making)
        ran = self._server(making, *arguments("train", making), at=0)
        at = 1 + next(number for number, call in enumerate(ran.calls) if "best.weights.h5" in call)
        shutil.rmtree(making)
        shutil.copytree(self("split"), making)
        assert self._server(making, *arguments("train", making), at=at, how="kill").status == -signal.SIGKILL

    def _exported(self, making: Path) -> None:
        """The fold is done, and not scored yet."""
        shutil.copytree(self("train"), making)
        for name in ("cv.json", "report.json"):
            (making / "data/demo/experiments/demo" / name).unlink()
        shutil.rmtree(making / "submissions")


@pytest.fixture(scope="module")
def snapshots(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    return Snapshots(server, tmp_path_factory.mktemp("snapshots").resolve())


def whole(root: Path) -> dict[str, str]:
    """Hash of every output by its path, each compared with its manifest."""
    found = content(root)
    for path in root.glob("**/*.json"):
        with contextlib.suppress(ValueError):
            manifest = json.loads(path.read_text())
            if isinstance(manifest, dict) and "outputs" in manifest:
                for name, output in {**manifest["outputs"], **manifest["extras"]}.items():
                    assert measure(path.parent / name).sha256 == output["sha256"], path.parent / name
    return found


def kind(call: str) -> str:
    """The kind of a call: its name, and its file without numbers and hashes."""
    name, path = call.split(" ", 1)
    return f"{name} {re.sub(r'[0-9a-f]{8,}|[0-9]+', '#', path.rsplit('/', 1)[-1])}"


def spread(calls: list[str], begin: int, count: int) -> list[int]:
    """Numbers, the first is 1, of calls that fail: as many kinds as there are, from the first to the last."""
    wanted = os.environ.get("DISK_ERRORS", "1")
    numbers = range(begin, len(calls) + 1)
    if wanted == "all":
        return list(numbers)
    count = round(count * float(wanted))
    of: dict[str, list[int]] = {}
    for number in numbers:
        of.setdefault(kind(calls[number - 1]), []).append(number)
    # The first of each kind, then the last of each, then what lies between; as many as are wanted, evenly.
    firsts = [each[0] for each in of.values()]
    lasts = [each[-1] for each in of.values() if len(each) > 1]
    order = firsts + lasts + [number for each in of.values() for number in each[1:-1]]
    pool = order[: max(count, len(firsts))]
    return sorted(pool[int(index)] for index in np.unique(np.linspace(0, len(pool) - 1, count).astype(int)))


def wrong(server: Server, root: Path, stage: Stage, wanted: dict[str, str], at: int, how: str, reads: bool) -> str:
    """Fail one call, and run the command again; returns what is wrong, or an empty string."""
    ran = server(root, *arguments(stage.command, root), at=at, how=how, reads=reads)
    place = f"{how} at {at}: {ran.calls}: status {ran.status}: {ran.printed[-500:]} {ran.error[-700:]}"
    if not ran.calls:
        return ""  # threads made fewer calls this time
    if ran.status == 2:
        lines = [line for line in ran.error.splitlines() if line.startswith("error:")]
        if len(lines) != 1 or "Traceback" in ran.error or "run the same command again" not in lines[0]:
            return f"not one line: {place}"
    elif ran.status == 0:
        warned = re.search(WARNING, ran.printed)
        if how != "kill" and not warned and not any(re.search(pattern, ran.calls[0]) for pattern in HARMLESS):
            return f"no message: {place}"
        if content(root) != wanted:
            return f"wrong, but status 0: {place}"
    elif ran.status != -signal.SIGKILL or how != "kill":
        return f"not one line: {place}"
    try:
        again = server(root, *arguments(stage.command, root))
        if again.status:
            return f"the same command does not recover ({again.error}): {place}"
        if whole(root) != wanted:
            return f"other bytes in the end: {place}"
    except (AssertionError, OSError) as error:
        return f"damaged in the end ({error}): {place}"
    return ""


@pytest.mark.faults
@pytest.mark.parametrize("reads", [False, True], ids=["writing", "reading"])
@pytest.mark.parametrize("name", STAGES)
def test_after_any_error_the_same_command_ends_with_the_same_bytes(
    server: Server, snapshots: Snapshots, tmp_path: Path, name: str, reads: bool
):
    stage, root = STAGES[name], tmp_path.resolve() / "root"

    def begin() -> None:
        shutil.rmtree(root, ignore_errors=True)
        if stage.before:
            shutil.copytree(snapshots(stage.before), root)

    begin()
    ran = server(root, *arguments(stage.command, root), at=0, reads=reads)
    assert ran.status == 0, ran.error
    wanted = whole(root)
    assert wanted == whole(snapshots("train" if stage.command == "report" else stage.command))
    first = next((number for number, call in enumerate(ran.calls, start=1) if stage.first in call), 1)
    errors = []
    ways = ["EIO"] if reads else list(HOW)
    for turn, at in enumerate(spread(ran.calls, first, max(2, stage.cases // 4) if reads else stage.cases)):
        begin()
        errors.append(wrong(server, root, stage, wanted, at, ways[turn % len(ways)], reads))
    assert not any(errors), "\n".join(filter(None, errors))
