"""A second place for artifacts, for machines that do not see the root folder: any address that fsspec knows.

``s3://bucket/prefix``, ``gs://bucket/prefix``, ``file:///a/shared/folder``: below it lies the same layout as below the
root. As on disk, a manifest is written last and removed first, so nothing half-copied counts; and whatever is fetched
is compared with the hashes of its manifest before it counts here.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.backup import STATE
from pipeline.artifacts.integrity import verify
from pipeline.artifacts.manifest import Manifest, parse_manifest
from pipeline.config import UserError
from pipeline.system import atomic
from pipeline.system.atomic import writing

_ARRIVING = ".arriving-"
_BUCKETS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss"}
"""Kinds of store without folders; asked for one, they would make a bucket of a mistyped name."""


class Store:
    """A folder layout's copy at an fsspec address.

    Args:
        address: where the copy is.
        root: the folder layout here, the folder that holds ``data/``.

    Raises:
        UserError: fsspec, or the package that knows the address, is not installed, or there is no such place.
    """

    def __init__(self, address: str, root: Path) -> None:
        self.address, self._root = address, root
        self._mirrored: dict[Path, int] = {}
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise UserError("a store needs the package fsspec; install it with: pip install '.[cluster]'") from None
        with self._answering():
            self._files, base = url_to_fs(address)
        self._base = base.rstrip("/")
        kinds = self._files.protocol
        self._buckets = bool(_BUCKETS & {*([kinds] if isinstance(kinds, str) else kinds)})

    def push(self, artifact: Artifact) -> None:
        """Copy an artifact that is done from here to the store; what is the same there already stays.

        The caller holds the artifact's lock, or is the only task that makes it.
        """
        if self.has(artifact):
            return
        self.remove(artifact.manifest_path)
        for name in (*artifact.outputs, *artifact.extras, artifact.manifest_name):
            self._put(artifact.folder / name)

    def has(self, artifact: Artifact) -> bool:
        """Whether an artifact that is done here is the same in the store."""
        return self._read(artifact.manifest_path) == artifact.manifest_path.read_bytes()

    def pull(self, artifact: Artifact, wanted: Callable[[Manifest], bool]) -> bool:
        """Copy an artifact from the store to here, and compare it with the hashes of its manifest.

        The caller holds the artifact's lock.

        Args:
            artifact: what to copy.
            wanted: whether what is there is what is asked for, by its manifest.

        Returns:
            Whether it is here now.

        Raises:
            UserError: what arrived is not what its manifest says. The manifest there is removed, so that the artifact
                is made again, unless another one has taken its place meanwhile.
        """
        content = self._read(artifact.manifest_path)
        manifest = parse_manifest(content) if content else None
        names = {*artifact.outputs, *artifact.extras}
        if manifest is None or {*manifest.outputs, *manifest.extras} != names or not wanted(manifest):
            return False
        path = artifact.manifest_path
        if path.is_file() and path.read_bytes() == content and not verify(artifact, manifest):
            return True
        path.unlink(missing_ok=True)
        for name in names:
            self._get(artifact.folder / name)
        if error := verify(artifact, manifest):
            if self._read(path) != content:
                raise UserError(f"{self.address}: {artifact.name} was replaced meanwhile; run this command again")
            self.remove(path)
            raise UserError(f"{self.address}: {artifact.name}: {error}; the same command makes it again")
        atomic.write_bytes(path, content or b"")
        return True

    def mirror(self, folder: Path) -> None:
        """Make the store's copy of a backup's folder like the one here.

        What is new is copied, the state last; then what is gone is removed. So the state never names a file that is not
        there.
        """
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
        here = [(path.stat().st_mtime_ns, path) for path in sorted(found, key=lambda path: (path.name == STATE, path))]
        for changed, path in here:
            if self._mirrored.get(path) != changed:
                self._put(path)
                self._mirrored[path] = changed
        for name in {*self.names(folder)} - {path.name for _, path in here}:
            self.remove(folder / name)

    def fetch(self, folder: Path) -> None:
        """Copy the files of a flat folder from the store to here; no manifest says what they must be."""
        for name in self.names(folder):
            self._get(folder / name)
            self._mirrored[folder / name] = (folder / name).stat().st_mtime_ns

    def names(self, folder: Path) -> list[str]:
        """Files of a folder of the store, without those that are only arriving."""
        return [name for name in self._listed(folder) if not name.startswith(".")]

    def remove(self, path: Path) -> None:
        """Remove a file or a folder of the store, if it is there."""
        with self._answering(), suppress(FileNotFoundError):
            self._files.rm(self._key(path), recursive=True)

    def _put(self, path: Path) -> None:
        """Copy one file to the store; it has its name there only once it is whole."""
        parent, key = self._key(path.parent), self._key(path)
        arriving = f"{parent}/.{path.name}{_ARRIVING}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        with self._answering():
            if not self._buckets:
                self._files.makedirs(parent, exist_ok=True)
            for name in self._listed(path.parent):
                # Left there by a worker that was lost: nobody else copies the artifact now, see ``push``.
                if name.startswith(f".{path.name}{_ARRIVING}"):
                    self._files.rm_file(f"{parent}/{name}")
            self._files.put_file(str(path), arriving)
            self._files.mv(arriving, key)

    def _get(self, path: Path) -> None:
        with writing(path) as temporary, self._answering():
            self._files.get_file(self._key(path), str(temporary))

    def _read(self, path: Path) -> bytes | None:
        with self._answering(), suppress(FileNotFoundError):
            return self._files.cat_file(self._key(path))
        return None

    def _listed(self, folder: Path) -> list[str]:
        with self._answering(), suppress(FileNotFoundError):
            # Other machines write there as well, so what was listed before says nothing.
            self._files.invalidate_cache()
            return sorted(key.rstrip("/").split("/")[-1] for key in self._files.ls(self._key(folder), detail=False))
        return []

    def _key(self, path: Path) -> str:
        return f"{self._base}/{path.relative_to(self._root).as_posix()}"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Each kind of store raises its own errors (no rights, no network, no bucket): all become one line."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self.address}: {type(error).__name__}: {reason}") from None
