"""Reuse a network that another experiment has trained."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.backup import remove_backup
from pipeline.artifacts.freshness import Freshness
from pipeline.artifacts.integrity import measure
from pipeline.artifacts.manifest import Manifest, write_manifest
from pipeline.artifacts.transaction import invalidate, updating
from pipeline.system.atomic import writing


def reuse_weights(artifact: Artifact) -> str:
    """Copy a fold's network from another experiment that trained the same one.

    Experiments that differ only in what comes after training (views, threshold, rules) share their networks that way.

    Args:
        artifact: the training, in the folder ``<experiments>/<experiment>/fold-K``.

    Returns:
        The other experiment's name; an empty string where there is none.
    """
    for folder, manifest in _candidates(artifact):
        # The other experiment may be trained again, or removed, while its files are copied: then nothing is copied.
        with updating(artifact, invalidate_first=False), contextlib.suppress(_ChangedError, FileNotFoundError):
            with contextlib.ExitStack() as copies:
                for name, output in {**manifest.outputs, **manifest.extras}.items():
                    path = copies.enter_context(writing(artifact.folder / name))
                    shutil.copyfile(folder / name, path)
                    if measure(path).sha256 != output.sha256:
                        raise _ChangedError
                invalidate(artifact)
            write_manifest(artifact.manifest_path, manifest)
            remove_backup(artifact)
            return folder.parent.name
    return ""


def reusable_from(artifact: Artifact) -> str:
    """The experiment from which ``reuse_weights`` would copy a fold's network; an empty string where there is none."""
    return next((folder.parent.name for folder, _ in _candidates(artifact)), "")


def _candidates(artifact: Artifact) -> Iterator[tuple[Path, Manifest]]:
    """Folders of the same fold of other experiments with the same network, and its manifest."""
    freshness = Freshness()
    for folder in sorted(artifact.folder.parent.parent.glob(f"*/{artifact.folder.name}")):
        manifest = freshness.manifest(replace(artifact, folder=folder))
        if folder != artifact.folder and manifest is not None and freshness.fits(artifact, manifest):
            yield folder, manifest


class _ChangedError(Exception):
    """A file is not the one that the manifest names."""
