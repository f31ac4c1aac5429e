"""A file of the archive, on disk or in a zip, and how much of it is read."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from pipeline.config import UserError
from pipeline.data.sources.archive.errors import explaining

_READ_BYTES = 2**20


@dataclass(frozen=True)
class Member:
    """A file that can be read."""

    name: str
    """For messages, for example ``train.zip/images/x.png``."""
    opener: Callable[[], IO[bytes]]
    path: Path | None = None
    """Its path on disk; None in a zip."""

    @classmethod
    def on_disk(cls, path: Path) -> Member:
        return cls(str(path), partial(io.FileIO, path), path)

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        with explaining(self.name), self.opener() as stream:
            yield stream


def copy(source: IO[bytes], sink: IO[bytes] | io.FileIO, name: str, limit: int) -> int:
    """Copy a stream to its end, at which ``zipfile`` tests the checksum.

    Args:
        source: of a member.
        sink: written to.
        name: of the member, for messages.
        limit: most bytes. They are counted, because a zip's headers may lie about sizes.

    Returns:
        The number of bytes.

    Raises:
        UserError: the member is damaged or longer than ``limit``.
        OSError: the sink cannot be written to.
    """
    copied = 0
    while True:
        with explaining(name):
            chunk = source.read(min(_READ_BYTES, limit - copied + 1))
        if not chunk:
            return copied
        copied += len(chunk)
        if copied > limit:
            raise UserError(f"{name}: unpacks to more than {limit:,} bytes; this is not the competition's archive")
        if sink.write(chunk) != len(chunk):
            # An unbuffered file writes as much as there is room for.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
