"""Writing files so that no error of the disk goes unseen, and telling such errors from bugs.

Libraries report a failed write late or not at all: h5py from a destructor, NumPy without an error number, pandas by
way of a buffer. So what a library writes for us goes to memory first, and its bytes come to disk through this module.
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
"""Error numbers that mean a full or failing disk, whatever was being done, and what to do about each."""
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)


def write(path: Path, content: bytes | memoryview, durable: bool = True) -> None:
    """Write a file and read it back; not atomic, so that its name must be one that nothing relies on yet.

    Args:
        path: the file, which is created or replaced.
        content: its bytes.
        durable: wait until they are on the disk. Without it an error that the disk has later is found by the hash in
            the manifest only.

    Raises:
        OSError: a write, the sync or the close failed, or the file holds something else afterwards; its ``filename``
            is ``path``.
    """
    whole = memoryview(content).cast("B") if len(content) else memoryview(b"")
    with naming(path):
        # Unbuffered: a buffer's late error may meet nobody who checks.
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
                raise OSError(errno.EIO, "Reads back other than it was written", str(path))


def sync(path: Path) -> None:
    """Wait until the content of a file, which somebody else wrote, is on the disk.

    A memory-mapped file needs this too: it shares its pages with whoever reads the file, so that reading it back would
    compare memory with itself. An error that the kernel had while writing the pages is reported here.

    Raises:
        OSError: some of it could not be written.
    """
    with naming(path), path.open("rb+", buffering=0) as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can be asked for that.

    Raises:
        OSError: they could not be written.
    """
    if os.name != "posix":
        return
    with naming(folder):
        try:
            number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except PermissionError:
            return  # a folder may be written to and not read
        try:
            os.fsync(number)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:  # some network file systems cannot
                raise
        finally:
            os.close(number)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in errors of the system that name none, as those of a write and a sync do."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def is_failure(error: OSError) -> bool:
    """Whether an error means a full or failing disk, not a file that is missing, forbidden or damaged."""
    return error.errno in _ADVICE


def failure(error: BaseException | None) -> str:
    """One line about the full or failing disk behind an error, from its chain of causes; empty where there is none.

    HDF5 and others give the system's error in the text of a ``RuntimeError`` or ``ValueError`` alone.
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
