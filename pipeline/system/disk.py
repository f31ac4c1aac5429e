"""Writing files with every error checked, and telling errors of the disk from bugs.

Libraries report a failed write late or not at all: h5py from a destructor, NumPy without an error number, pandas from
a buffer. Therefore their output is serialized to memory, and this module writes the bytes to disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 2**24
_ADVICE = {
    errno.ENOSPC: "free some and run the same command again",
    errno.EDQUOT: "free some and run the same command again",
    errno.EFBIG: "allow larger files and run the same command again",
    errno.EROFS: "make it writable and run the same command again",
    errno.EIO: "check the disk and run the same command again",
    errno.ESTALE: "check the network file system and run the same command again",
}
"""Error numbers of a full or failing disk, and what the user can do about each."""
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)


def write(path: Path, content: bytes | memoryview, durable: bool = True) -> None:
    """Write a file and compare what it contains afterwards. Not atomic: write to a name that nothing reads yet.

    Args:
        path: the file; created or replaced.
        content: its bytes.
        durable: wait until the bytes are on the disk. Without it, a later error of the disk is only found by the hash
            in the manifest.

    Raises:
        OSError: a write, the sync or the close failed, or the file contains other bytes afterwards; its
            ``filename`` is ``path``.
    """
    whole = memoryview(content).cast("B") if len(content) else memoryview(b"")
    with naming(path):
        # Unbuffered: an error of a buffer that is flushed later may go unchecked.
        with path.open("wb", buffering=0) as stream:
            written = 0
            while written < len(whole):
                written += stream.write(whole[written : written + _CHUNK]) or 0
            if durable:
                os.fsync(stream.fileno())
        with path.open("rb", buffering=0) as stream:
            read = 0
            while chunk := stream.read(_CHUNK):
                if chunk != whole[read : read + len(chunk)]:
                    break
                read += len(chunk)
            if read != len(whole) or chunk:
                raise OSError(errno.EIO, "The file contains other bytes than were written", str(path))


def sync(path: Path) -> None:
    """Wait until the content of a file that was written elsewhere is on the disk.

    Reports errors that the kernel had while writing the pages of a memory-mapped file. Reading such a file back cannot
    find them: it would compare the same pages of memory.

    Raises:
        OSError: some of the content could not be written.
    """
    with naming(path), path.open("rb+", buffering=0) as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system supports that.

    Raises:
        OSError: they could not be written.
    """
    if os.name != "posix":
        return
    with naming(folder):
        try:
            number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except PermissionError:
            return  # a folder may be writable but not readable
        try:
            os.fsync(number)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:  # some network file systems do not support it
                raise
        finally:
            os.close(number)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file's name to an ``OSError`` that has none, such as those of a write and a sync."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def is_failure(error: OSError) -> bool:
    """Whether an error means a full or failing disk, rather than a file that is missing, forbidden or damaged."""
    return error.errno in _ADVICE


def failure(error: BaseException | None) -> str:
    """One line about the full or failing disk that caused an error; empty where the cause is another one.

    Searches the chain of causes. HDF5 and others report the system's error only in the text of a ``RuntimeError`` or
    ``ValueError``.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and is_failure(error):
            return _line(error.errno, error.strerror, error.filename)
        for number in _ADVICE:
            if f"errno = {number}," in str(error) or os.strerror(number) in str(error):
                return _line(number, None, None)
        error = error.__cause__ or error.__context__
    return ""


def _line(number: int | None, text: str | None, name: object) -> str:
    assert number is not None
    place = f": {os.fsdecode(name)}" if isinstance(name, str | bytes) and name else ""
    return f"{text or os.strerror(number)}{place}; {_ADVICE[number]}"
