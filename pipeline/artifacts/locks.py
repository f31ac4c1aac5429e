"""Locks: one process at a time makes, replaces or removes an artifact."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import LOCKS, Artifact
from pipeline.config import UserError
from pipeline.system.atomic import alive
from pipeline.system.progress import echo


class BusyError(UserError):
    """Another process is making the artifact."""


class ChangedError(UserError):
    """Another process has made the artifact again while it was being read."""


_held: set[Path] = set()
"""Locks that this process holds."""


@contextlib.contextmanager
def locked(artifact: Artifact, wait: float | None = None) -> Iterator[None]:
    """Hold an artifact's lock. A lock that a dead process left behind does not block.

    Within one process the lock is reentrant: code that holds it may call code that takes it.

    Args:
        artifact: the artifact to make, or to remove.
        wait: seconds to wait for another process that holds the lock; by default the artifact's ``lock_wait``. A wait
            of more than a second is announced on screen.

    Raises:
        BusyError: another process holds the lock; its process id is named.
    """
    from filelock import FileLock

    path = artifact.lock_path
    if path in _held:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    owner, lock = path.with_suffix(".pid"), FileLock(path)
    _acquire(lock, artifact, artifact.lock_wait if wait is None else wait, owner)
    try:
        _held.add(path)
        owner.write_text(f"{os.getpid()} {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        _held.discard(path)
        owner.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: Any, artifact: Artifact, wait: float, owner: Path) -> None:
    from filelock import Timeout

    with contextlib.suppress(Timeout):
        lock.acquire(timeout=min(wait, 1.0))
        return
    if wait > 0:
        echo(f"{artifact.name}: {_holder(owner)} is making it; waiting for it")
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=wait, poll_interval=0.2)
            return
    raise BusyError(
        f"{artifact.name}: {_holder(owner)} is making it right now; wait for it, or stop it and run this again"
    )


def _holder(owner: Path) -> str:
    """The process that holds a lock, named in its owner file."""
    with contextlib.suppress(OSError, ValueError):
        pid, host = owner.read_text(encoding="utf-8").split()
        if host != socket.gethostname():
            return f"process {pid} on {host}"
        if alive(pid):
            return f"process {pid}"
    return "another process"


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, locks last: until then nobody else begins to write there.

    Of a link to a folder, as users make it to have the data on another disk, the folder that it points to is emptied:
    that disk has its space back, and what is made again will lie there.

    The caller holds the locks of what is in the folder.
    """
    linked = folder.is_symlink()
    if not linked and not (folder / LOCKS).is_dir():
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif path.name != LOCKS:
            shutil.rmtree(path)
    if (folder / LOCKS).is_dir():
        shutil.rmtree(folder / LOCKS)
    if linked:
        return
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # another process may have started again there
            raise
