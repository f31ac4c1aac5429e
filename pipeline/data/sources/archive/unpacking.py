"""Unpack an archive into the layout of the raw tiles."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from pipeline.config import UserError
from pipeline.data.files import RAW_FILES, RAW_FOLDERS, RAW_TRAIN_IMAGES, RAW_TRAIN_MASKS, TRAIN_CSV
from pipeline.data.sources.archive import limits
from pipeline.data.sources.archive.errors import AGAIN
from pipeline.data.sources.archive.members import copy
from pipeline.data.sources.archive.search import Found, find_files
from pipeline.system import disk

_TILE_NAME = re.compile(r"[A-Za-z0-9_-]+\.png")


def unpack(archive: Path, folder: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """Write the competition's files from a zip or a folder in the layout that the other stages read.

    That is ``train.csv``, ``depths.csv``, ``sample_submission.csv``, ``train/images/ID.png``, ``train/masks/ID.png``
    and ``test/images/ID.png``. Checksums of files in zips are tested.

    Args:
        archive: a zip, or a folder with the same members, zipped, unpacked or mixed; it is only read.
        folder: an empty folder of the caller; after an error it has some of the files.
        progress: called with (files written, files in all).

    Returns:
        Name of the table of labelled tiles that was used: a folder may have the competition's files more than once,
        and then the shallowest are used.

    Raises:
        UserError: the archive is missing, unreadable, damaged, incomplete, or unsafe to unpack.
    """
    with ExitStack() as opened:
        files = find_files(archive, folder.parent, opened)
        _check_tiles(archive, files)
        for part in RAW_FOLDERS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        work = [(folder / part, files[part][part], limits.MAX_CSV) for part in RAW_FILES]
        for part in RAW_FOLDERS:
            work += [(folder / part / name, member, limits.MAX_TILE) for name, member in files[part].items()]
        written = 0
        for done, (target, member, limit) in enumerate(work, start=1):
            content = io.BytesIO()
            with member.open() as source:
                written += copy(source, content, member.name, min(limit, limits.MAX_TOTAL - written))
            # Syncing 22,000 small files takes minutes; the hash in the manifest finds what the disk loses later.
            disk.write(target, content.getbuffer(), durable=target.suffix == ".csv")
            if progress is not None and (done % 64 == 0 or done == len(work)):
                progress(done, len(work))
        return files[TRAIN_CSV][TRAIN_CSV].name


def _check_tiles(archive: Path, files: Found) -> None:
    """Check names of tiles, and that each labelled tile has an image and a mask.

    Raises:
        UserError: they do not; the line names the first tiles.
    """
    for part in RAW_FOLDERS:
        wrong = [repr(name) for name in files[part] if not _TILE_NAME.fullmatch(name)]
        if wrong:
            raise UserError(
                f"{archive}: {part} holds {_first(wrong)}, which is no tile's name: rename it, in the tables too, "
                "to letters from a to z, digits, - and _, then .png in lower case"
            )
        by_case = {name.casefold(): name for name in files[part]}
        if len(by_case) < len(files[part]):
            alike = [name for name in files[part] if by_case[name.casefold()] != name]
            raise UserError(f"{archive}: {part} holds {_first(alike)} twice, in upper and lower case; remove one")
    for one, other in ((RAW_TRAIN_IMAGES, RAW_TRAIN_MASKS), (RAW_TRAIN_MASKS, RAW_TRAIN_IMAGES)):
        if names := sorted(files[one].keys() - files[other].keys()):
            raise UserError(f"{archive}: {other} lacks {_first(names)}, which {one} holds; {AGAIN}")


def _first(names: list[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
