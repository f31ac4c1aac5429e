"""Walk through a folder of the competition's files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.config import UserError
from pipeline.data.sources.archive import limits
from pipeline.data.sources.archive.errors import explaining
from pipeline.data.sources.archive.paths import Parts, is_relevant


def is_folder(archive: Path) -> bool:
    """Whether an archive is a folder, not a file.

    Raises:
        UserError: it is missing, or neither.
    """
    with explaining(str(archive)):
        kind = archive.stat().st_mode
        if not stat.S_ISDIR(kind) and not stat.S_ISREG(kind):
            raise UserError(f"{archive}: is neither a zip nor a folder; name the competition's archive")
        return stat.S_ISDIR(kind)


def walk(archive: Path, wanted: Callable[[Parts], object] = is_relevant) -> Iterator[tuple[Parts, Path]]:
    """The relevant files below a folder in the order of their names, each with its relative path in parts.

    Links inside the folder are followed.

    Args:
        archive: the folder.
        wanted: whether the file of a path is relevant.

    Raises:
        UserError: a link leads out of the folder, there are too many files, or the folder cannot be read.
    """
    root = archive.resolve()
    count = 0

    def below(folder: Path, parts: Parts, above: frozenset[tuple[int, int]]) -> Iterator[tuple[Parts, Path]]:
        nonlocal count
        with explaining(str(folder)):
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:  # a link to a folder that contains it
                return
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
            count += len(entries)
            if count > limits.MAX_MEMBERS:
                raise UserError(
                    f"{archive}: holds more than {limits.MAX_MEMBERS:,} files; name the archive's own folder"
                )
            for entry in entries:
                relative = (*parts, entry.name)
                is_directory = entry.is_dir()
                if entry.name.startswith(".") or not (is_directory or wanted(relative)):
                    continue
                path = folder / entry.name
                if entry.is_symlink() and not path.resolve().is_relative_to(root):
                    raise UserError(f"{path}: this link leads outside of the folder; put the real files there")
                if is_directory and len(relative) < limits.MAX_FOLDER_DEPTH:
                    yield from below(path, relative, above | {identity})
                elif entry.is_file():
                    yield relative, path

    yield from below(root, (), frozenset())
