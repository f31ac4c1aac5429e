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
        For a zip ``kind``, ``name``, ``bytes`` and the ``sha256`` of its content; for a folder ``kind``, ``name``, a
        ``sha256`` over the relative names and sizes of the relevant files, and ``content``, one over their bytes.

    Raises:
        UserError: the archive is missing or unreadable.
    """
    if is_folder(archive):
        sizes, contents = hashlib.sha256(), hashlib.sha256()
        with explaining(str(archive)):
            for name, path in sorted(("/".join(parts), path) for parts, path in walk(archive) if is_relevant(parts)):
                sizes.update(f"{name}\0{path.stat().st_size}\0".encode(errors="surrogateescape"))
                with path.open("rb") as stream:
                    contents.update(hashlib.file_digest(stream, "sha256").digest())
            found = {"kind": "folder", "name": archive.resolve().name}
            return {**found, "sha256": sizes.hexdigest(), "content": contents.hexdigest()}
    with explaining(str(archive)), archive.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"kind": "zip", "name": archive.name, "bytes": os.fstat(stream.fileno()).st_size, "sha256": content}


def quick_identity(archive: Path) -> dict[str, Any]:
    """Describe an archive without reading its content: where this differs, the archive may have changed.

    Returns:
        ``path`` (resolved), ``bytes`` and ``mtime_ns``. For a folder, the size is that of its tables and zips, and the
        time is the latest of all its files and folders.

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
                if is_relevant(parts):
                    status = path.stat()
                    changed = max(changed, status.st_mtime_ns)
                    size += 0 if parts[-1].lower().endswith(".png") else status.st_size
            changed = max(changed, *(each.stat().st_mtime_ns for each in folders))
        return {"path": str(archive.resolve()), "bytes": size, "mtime_ns": changed}
