"""Folders that are links, as users make them to have the data on another disk."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.config import UserError


def beside(folder: Path) -> tuple[Path, Path]:
    """Where the new content of a folder is made, and where the old one is moved, while the folder is replaced."""
    return folder.with_name(f".{folder.name}.making"), folder.with_name(f".{folder.name}.old")


def check_links(folder: Path) -> None:
    """Refuse a folder that cannot be written to because it, or one above it, is a link that leads to no folder.

    Raises:
        UserError: there is such a link; the line names it.
    """
    for place in (folder, *folder.parents):
        if not place.is_symlink() or place.is_dir():
            continue
        target = Path(os.path.realpath(place))
        # A command that was killed while it replaced the folder behind the link has left these; the next one ends that.
        if not any(path.is_dir() for path in beside(target)):
            raise UserError(
                f"{place} is a link to {target}, and there is no such folder; mount its disk, make the folder, "
                "or remove the link"
            )
