"""What an archive contains, for the manifest; and a quick check whether it may have changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from pipeline.data.sources.archive.errors import explaining
from pipeline.data.sources.archive.folders import is_folder, walk
from pipeline.data.sources.archive.paths import is_relevant


def fingerprint(archive: Path) -> dict[str, Any]:
    """Describe the content of an archive.

    Returns:
        For a zip ``kind``, ``name``, ``bytes`` and the ``sha256`` of its content; for a folder ``kind``, ``name`` and a
        ``sha256`` over the relative names and sizes of the relevant files.

    Raises:
        UserError: the archive is missing or unreadable.
    """
    if is_folder(archive):
        digest = hashlib.sha256()
        with explaining(str(archive)):
            for name, path in sorted(("/".join(parts), path) for parts, path in walk(archive) if is_relevant(parts)):
                digest.update(f"{name}\0{path.stat().st_size}\0".encode(errors="surrogateescape"))
            return {"kind": "folder", "name": archive.resolve().name, "sha256": digest.hexdigest()}
    with explaining(str(archive)), archive.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"kind": "zip", "name": archive.name, "bytes": os.fstat(stream.fileno()).st_size, "sha256": content}


def quick_identity(archive: Path) -> dict[str, Any]:
    """Describe an archive without reading its content: where this differs, the archive may have changed.

    Returns:
        ``path`` (resolved), ``bytes`` and ``mtime_ns``. For a folder, the size is that of its tables and zips, and the
        time is the latest of these and of its folders: it changes when a tile is added or removed, but not when a tile
        is overwritten in place.

    Raises:
        UserError: the archive is missing or unreadable.
    """
    with explaining(str(archive)):
        status = archive.stat()
        size, changed = status.st_size, status.st_mtime_ns
        if is_folder(archive):
            size, folders = 0, {archive}
            for parts, path in walk(archive):
                folders.add(path.parent)
                if is_relevant(parts) and not parts[-1].lower().endswith(".png"):
                    status = path.stat()
                    size, changed = size + status.st_size, max(changed, status.st_mtime_ns)
            changed = max(changed, *(each.stat().st_mtime_ns for each in folders))
        return {"path": str(archive.resolve()), "bytes": size, "mtime_ns": changed}
