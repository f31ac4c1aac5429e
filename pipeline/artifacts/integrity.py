"""Compare files with the sizes and hashes in their manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.locks import ChangedError, locked
from pipeline.artifacts.manifest import Manifest, Output, read_manifest
from pipeline.system import disk


def measure(path: Path) -> Output:
    """Size and hash of a file; of a folder, number and total size of its files and a hash over names and contents."""
    if path.is_file():
        with path.open("rb") as stream:
            return Output(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())
    whole, size, files = hashlib.sha256(), 0, 0
    for each in sorted(path.iterdir()):
        content = each.read_bytes()
        whole.update(f"{each.name}\0{len(content)}\0".encode())
        whole.update(content)
        size, files = size + len(content), files + 1
    return Output(size, whole.hexdigest(), files)


def verify(artifact: Artifact, manifest: Manifest) -> str:
    """Compare every output with the hash in its manifest; returns the first error, or an empty string."""
    for name, output in {**manifest.outputs, **manifest.extras}.items():
        error = quick_error(artifact.folder / name, output)
        try:
            if not error and measure(artifact.folder / name).sha256 != output.sha256:
                error = "has other content than its manifest says"
        except FileNotFoundError:
            error = "is missing"
        if error:
            return f"{name} {error}"
    return ""


def quick_error(path: Path, output: Output) -> str:
    """What a glance at the file system tells: presence and size of a file, number of files in a folder."""
    try:
        if output.files == 1 and path.is_file():
            return "" if path.stat().st_size == output.bytes else "has another size than its manifest says"
        with os.scandir(path) as entries:
            return "" if sum(1 for _ in entries) == output.files else "holds another number of files"
    except OSError as error:
        if disk.is_failure(error):
            raise
        return "is missing"


def discard_damaged(artifacts: Iterable[Artifact]) -> list[str]:
    """View through everything that these artifacts are about to be made from, hash by hash.

    What is not what its manifest says loses its manifest, so that it is made again; a line for each tells what it was.
    """
    used = {each.manifest_path: each for artifact in artifacts for each in artifact.inputs}
    lines = []
    for each in used.values():
        try:
            if error := discard_if_damaged(each):
                lines.append(f"{each.label}: {error}; making it again")
        except ChangedError:
            lines.append(f"{each.label}: another process has made it again meanwhile")
    return lines


def discard_if_damaged(artifact: Artifact) -> str:
    """Remove the manifest of an artifact whose files are not what it says; returns the first error, or an empty string.

    Raises:
        BusyError: the files do not match, and another process is making the artifact. Nothing was removed.
        ChangedError: another process has made the artifact again meanwhile, and it is whole. Nothing was removed.
    """
    read = read_manifest(artifact.manifest_path)
    error = verify(artifact, read) if read is not None else ""
    if not error:
        return ""
    # The files may have been replaced since the manifest was read. A process that replaces them holds the lock; so
    # under it a manifest and its files belong together, and the manifest that is removed is the one that was compared.
    with locked(artifact):
        now = read_manifest(artifact.manifest_path)
        if now is None:
            return error
        if error := verify(artifact, now):
            artifact.manifest_path.unlink(missing_ok=True)
        elif now != read:
            raise ChangedError(f"{artifact.label}: another process has made it again meanwhile; run this command again")
        return error
