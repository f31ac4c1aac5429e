"""Open zips, nested ones too, and list the files in them after checking that they are safe to unpack."""

from __future__ import annotations

import io
import stat
import tempfile
import zipfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO

from pipeline.config import UserError
from pipeline.data.sources.archive import limits
from pipeline.data.sources.archive.errors import AGAIN, explaining
from pipeline.data.sources.archive.members import Member, copy
from pipeline.data.sources.archive.paths import Parts, is_relevant


class _LimitedReader(io.BufferedReader):
    """A file that refuses the one huge read with which ``zipfile`` would load a hostile list of members."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > limits.MAX_DIRECTORY:
            raise zipfile.BadZipFile("its list of members is too long")
        return super().read(size)


def open_zip(member: Member, scratch: Path, opened: ExitStack) -> zipfile.ZipFile:
    """Open a zip.

    Args:
        member: the zip.
        scratch: a folder for the copy of a nested zip.
        opened: closes the zip, and removes the copy.

    Raises:
        UserError: it is missing, unreadable, damaged or too large.
    """
    with explaining(member.name):
        stream: IO[bytes]
        if member.path is not None:
            stream = opened.enter_context(_LimitedReader(io.FileIO(member.path)))
        else:
            stream = opened.enter_context(_copy_of_nested(member, scratch))
        return opened.enter_context(zipfile.ZipFile(stream))


def _copy_of_nested(member: Member, folder: Path) -> _LimitedReader:
    """A nested zip as a temporary file: reading it in place would seek through its parent over and over."""
    with member.open() as source, explaining(str(folder)):
        # Unnamed where the system can, so that nothing is left behind if this process is killed.
        raw = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - handed on
        try:
            copy(source, raw, member.name, limits.MAX_ZIP)
            raw.seek(0)
        except BaseException:
            raw.close()
            raise
    return _LimitedReader(raw)


def list_zip(archive: zipfile.ZipFile, name: str, folder: Parts) -> list[tuple[Parts, Member]]:
    """The relevant files in a zip.

    Args:
        archive: an open zip.
        name: of the zip, for messages.
        folder: that the zip stands for.

    Returns:
        Path and member of each file.

    Raises:
        UserError: a path in the zip is unsafe, or a relevant member cannot be unpacked safely.
    """
    seen: dict[str, zipfile.ZipInfo] = {}
    found = []
    for info in archive.infolist():
        parts = _safe_parts(info, name)
        if info.is_dir():
            continue
        first = seen.setdefault(info.filename, info)
        if first is not info:
            if (first.CRC, first.file_size) != (info.CRC, info.file_size):
                raise UserError(f"{name}: {info.filename!r} is in it twice with different content; {AGAIN}")
            continue
        if is_relevant(folder + parts):
            found.append((folder + parts, _readable(archive, info, name)))
    return found


def _readable(archive: zipfile.ZipFile, info: zipfile.ZipInfo, zip_name: str) -> Member:
    name = f"{zip_name}/{info.filename}"
    if info.flag_bits & 0x1:
        raise UserError(f"{name}: is encrypted; unpack it with its password and name the folder instead")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The standard library's other methods expand a chunk without a limit.
        raise UserError(f"{name}: compression method {info.compress_type} is not supported; {AGAIN}")
    return Member(name, partial(archive.open, info))


def _safe_parts(info: zipfile.ZipInfo, zip_name: str) -> Parts:
    """A member's path, in parts.

    Raises:
        UserError: it could lead out of the folder, or the member is neither a plain file nor a folder.
    """
    name = info.orig_filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if (
        not parts
        or name.startswith("/")
        or ".." in parts
        or "\\" in name
        or ":" in parts[0]
        or any(ord(character) < 32 for character in name)
    ):
        raise UserError(f"{zip_name}: the path {name!r} in it is unsafe; {AGAIN}")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a symbolic link" if kind == stat.S_IFLNK else "a special file"
        raise UserError(f"{zip_name}: {name!r} in it is {what}, which is unsafe; {AGAIN}")
    return parts
