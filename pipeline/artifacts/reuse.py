"""Take a trained network over from another experiment that trained the same one."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace

from pipeline.artifacts.backup import remove_backup
from pipeline.artifacts.freshness import Freshness
from pipeline.artifacts.integrity import measure
from pipeline.artifacts.layout import Layout
from pipeline.artifacts.manifest import write_manifest
from pipeline.artifacts.transaction import invalidate, updating
from pipeline.system.atomic import writing


def reuse_weights(layout: Layout, fold: int) -> str:
    """Take over a fold's network from another experiment that trained the very same one.

    Experiments that differ only in what comes after training (views, threshold, rules) share their networks that way.

    Returns:
        The other experiment's name; an empty string where there is none.
    """
    artifact, freshness = layout.train(fold), Freshness()
    for folder in sorted(layout.experiment_folder.parent.glob(f"*/{artifact.folder.name}")):
        other = replace(artifact, folder=folder)
        manifest = freshness.manifest(other)
        if folder == artifact.folder or manifest is None or not freshness.fits(artifact, manifest):
            continue
        # The other experiment may be trained anew, or removed, while its files are copied: then nothing came of it.
        with updating(artifact, invalidate_first=False), contextlib.suppress(_OtherFilesError, FileNotFoundError):
            with contextlib.ExitStack() as copies:
                for name, output in {**manifest.outputs, **manifest.extras}.items():
                    path = copies.enter_context(writing(artifact.folder / name))
                    shutil.copyfile(folder / name, path)
                    if measure(path).sha256 != output.sha256:
                        raise _OtherFilesError
                invalidate(artifact)
            write_manifest(artifact.manifest_path, manifest)
            remove_backup(artifact)
            return folder.parent.name
    return ""


class _OtherFilesError(Exception):
    """Files are not those of the manifest that names them."""
