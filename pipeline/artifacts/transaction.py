"""Make an artifact: under its lock, its manifest removed first and written last."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.freshness import Freshness
from pipeline.artifacts.integrity import measure
from pipeline.artifacts.links import beside
from pipeline.artifacts.locks import locked
from pipeline.artifacts.manifest import Manifest, write_manifest
from pipeline.config import UserError, fingerprint


@contextlib.contextmanager
def replacing(artifact: Artifact) -> Iterator[Path]:
    """Replace a whole folder: write into the folder that is yielded, call ``commit(at=...)`` on it, leave.

    The artifact's folder is replaced only then. What an earlier, killed attempt left is removed first. Where the folder
    is a link, what it points to is replaced, and the link stays.

    Raises:
        UserError: the folder is a link to a place that cannot be replaced, or where other files would be lost.
    """
    with locked(artifact):
        folder = _behind_link(artifact)
        fresh, old = beside(folder)
        for leftover in dict.fromkeys((fresh, old, *beside(artifact.folder))):
            if leftover.is_symlink():
                leftover.unlink()
            elif leftover.exists():
                shutil.rmtree(leftover)
        fresh.mkdir(parents=True)
        try:
            yield fresh
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        if folder.exists():
            # Gone before the new one is in its place: of what is done, nothing would come back to remove it.
            folder.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        fresh.rename(folder)


def _behind_link(artifact: Artifact) -> Path:
    """The artifact's folder, or what it points to where it is a link."""
    link = artifact.folder
    if not link.is_symlink():
        return link
    folder = link.resolve()
    if folder.is_mount():
        raise UserError(f"{link} is a link to {folder}, a whole disk; let it point to a folder on that disk")
    # All that is in the folder is replaced, and a link is easily set to one with files of the user's own.
    own = {artifact.manifest_name, *(name.split("/")[0] for name in (*artifact.outputs, *artifact.extras))}
    others = sorted({path.name for path in folder.iterdir()} - own) if folder.is_dir() else []
    if others:
        raise UserError(
            f"{link} is a link to {folder}, which holds other files that would be lost ({others[0]}); "
            "let it point to an empty folder"
        )
    return folder


@contextlib.contextmanager
def updating(artifact: Artifact, invalidate_first: bool = True) -> Iterator[Path]:
    """Make an artifact in place: write into the folder that is yielded, then ``commit``.

    Args:
        artifact: what is to be made.
        invalidate_first: remove the old manifest at once. A stage that takes long, or may be refused, calls
            ``invalidate`` itself, right before it writes: until then the earlier result counts.
    """
    with locked(artifact):
        artifact.folder.mkdir(parents=True, exist_ok=True)
        if invalidate_first:
            invalidate(artifact)
        yield artifact.folder


def invalidate(artifact: Artifact, seen: dict[str, str] | None = None) -> None:
    """Take away the manifest before the files that it names are replaced, so that nothing half-made counts.

    Raises:
        UserError: an input is another one than was seen (``inputs_now``) when the work began.
    """
    _unchanged(artifact, seen)
    artifact.manifest_path.unlink(missing_ok=True)


def commit(
    artifact: Artifact,
    result: dict[str, Any],
    started: float,
    at: Path | None = None,
    seen: dict[str, str] | None = None,
) -> Manifest:
    """Measure the outputs and write the manifest: from now on the artifact counts.

    Args:
        artifact: what was made; all its outputs lie on disk.
        result: what the stage found, plain values.
        started: ``time.monotonic()`` of the stage's start.
        at: where the files lie now, if not yet in the artifact's folder.
        seen: the inputs (``inputs_now``) when the work began.

    Raises:
        UserError: an input is gone, or another one than was seen.
    """
    _unchanged(artifact, seen)
    folder = at or artifact.folder
    freshness = Freshness()
    inputs = {}
    for each in artifact.inputs:
        manifest = freshness.manifest(each)
        if manifest is None:
            raise UserError(f"{each.label}: {each.manifest_path} vanished meanwhile; run the command again")
        inputs[each.label] = manifest.fingerprint
    outputs = {name: measure(folder / name) for name in artifact.outputs}
    manifest = Manifest(
        artifact=artifact.name,
        format=artifact.version,
        settings=artifact.settings,
        inputs=inputs,
        outputs=outputs,
        extras={name: measure(folder / name) for name in artifact.extras},
        fingerprint=fingerprint({name: output.sha256 for name, output in outputs.items()}),
        result=result,
        made={
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - started, 1),
            "pipeline": __version__,
        },
    )
    write_manifest(folder / artifact.manifest_name, manifest)
    return manifest


def inputs_now(artifact: Artifact) -> dict[str, str]:
    """The fingerprint of each input that is there; what takes long looks at the beginning, and again at its end."""
    freshness = Freshness()
    return {each.label: found.fingerprint for each in artifact.inputs if (found := freshness.manifest(each))}


@contextlib.contextmanager
def reading_inputs(artifact: Artifact) -> Iterator[None]:
    """Explain an error in the block by an input that another command made again, or removed, meanwhile.

    Inputs are not locked while they are read: the results of two commands may then not fit together, which shows as any
    error.

    Raises:
        UserError: the block failed, and an input is no longer the one that it was at the beginning.
    """
    seen = inputs_now(artifact)
    try:
        yield
    except Exception:
        _unchanged(artifact, seen)
        raise


def inputs_fingerprint(artifact: Artifact) -> str:
    """A short hash of everything that decides an artifact's content: settings, inputs and format."""
    return fingerprint([artifact.name, artifact.version, artifact.settings, inputs_now(artifact)])


def _unchanged(artifact: Artifact, seen: dict[str, str] | None) -> None:
    if seen is None:
        return
    now = inputs_now(artifact)
    # Also an input that was not there: the work has read what lay in its place.
    for label in {**seen, **now}:
        if now.get(label) != seen.get(label):
            raise UserError(
                f"{artifact.name}: {label} was made again or removed meanwhile by another command; "
                "run this command again"
            )
