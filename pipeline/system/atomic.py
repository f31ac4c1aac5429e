"""Atomic writes: a file is either as it was or wholly new, and what was written is read back."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.system import disk

DAY = 86_400.0
"""Seconds after which a temporary file of another host counts as left behind."""


@contextlib.contextmanager
def writing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Write a file atomically: fill the path that is yielded; it takes the file's place when the block ends well.

    What a library would write there is serialised to memory and written by ``disk.write``: libraries do not check
    every write.

    Args:
        path: the file.
        durable: wait until the file and its name are on the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    start = f".{path.name}.writing-"
    here = f"{start}{_host()}-"
    _remove_leftovers(path.parent, here, lambda leftover: not alive(leftover.name.removeprefix(here).split("-")[0]))
    # Unique also where several hosts share the folder. The suffix stays last because Keras and NumPy choose by it.
    temporary = path.with_name(f"{here}{os.getpid()}-{secrets.token_hex(4)}{''.join(path.suffixes[-2:])}")
    try:
        yield temporary
        if durable:
            disk.sync(temporary)
        # By the file system's clock, which wrote both times; clocks of hosts may differ.
        oldest = temporary.stat().st_mtime - DAY
        _remove_leftovers(path.parent, start, lambda leftover: leftover.stat().st_mtime < oldest)
        temporary.replace(path)
        if durable:
            disk.sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):  # the error that led here is the one to report
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes | memoryview, durable: bool = True) -> None:
    """Write a file atomically, and read it back before it takes its place.

    Args:
        path: the file.
        content: its bytes.
        durable: wait until they are on the disk.

    Raises:
        OSError: a write, a sync, a close or the renaming failed, or other bytes were read back.
    """
    with writing(path, durable) as temporary:
        disk.write(temporary, content, durable)


def write_array(path: Path, array: Any) -> None:
    """Write a NumPy array as a .npy file atomically, by way of memory."""
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    write_bytes(path, stream.getbuffer())


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write named NumPy arrays as an .npz file atomically, by way of memory."""
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    write_bytes(path, stream.getbuffer())


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def mapped(path: Path, shape: tuple[int, ...]) -> Any:
    """A new memory-mapped .npy file of this shape, uint8, all of whose bytes have their place on the disk.

    Without that, writing to it on a full disk would kill the process. The caller ends with its ``flush`` and with
    ``disk.sync`` on its file (``writing`` does that): both raise what writing its pages failed with.
    """
    import numpy as np

    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with disk.naming(path), path.open("rb+") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return out


def read_if_any(path: Path) -> bytes | None:
    """Content of a file; None where it is missing or cannot be opened, but an error of the disk is raised."""
    try:
        with disk.naming(path):
            return path.read_bytes()
    except OSError as error:
        if disk.is_failure(error):
            raise
        return None


def alive(pid: str) -> bool:
    """Whether this host runs a process with this id."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _remove_leftovers(folder: Path, start: str, dead: Callable[[Path], bool]) -> None:
    """Remove temporary files that a killed process has left behind."""
    for leftover in folder.glob(f"{glob.escape(start)}*"):
        with contextlib.suppress(OSError):  # removed by another process, or not ours to remove
            if dead(leftover):
                leftover.unlink()


def _host() -> str:
    """A short hash of the host, and in a container of the container: where a process id means the same."""
    processes = ""
    with contextlib.suppress(OSError):
        processes = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{socket.gethostname()} {processes}".encode()).hexdigest()[:8]
