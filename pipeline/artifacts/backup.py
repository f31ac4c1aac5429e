"""Backups of trainings, from which a killed run resumes, and the consent to replace a finished one."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.integrity import verify
from pipeline.artifacts.manifest import Manifest, read_manifest
from pipeline.artifacts.transaction import inputs_fingerprint
from pipeline.system.atomic import write_text

STATE = "state.npz"
"""The file of a backup that holds the state after the last finished epoch."""
CONSENT = "replaces.txt"
"""The file of a backup that names, by its checksum, the manifest of the finished training that it may replace."""


def backup_folder(artifact: Artifact) -> Path:
    """The folder of the backup of a fold's training, from which it resumes after a kill.

    Each combination of settings and inputs has its own folder, so that trying others loses no training.
    """
    return artifact.folder / backup_name(inputs_fingerprint(artifact))


def backup_name(identity: str) -> str:
    """Name of the folder of a training with this fingerprint of settings and inputs."""
    return f"backup-{identity}"


def remove_backup(artifact: Artifact) -> None:
    """Remove the backup of a fold's training. It is not needed once the manifest is written."""
    shutil.rmtree(backup_folder(artifact), ignore_errors=True)


def started(artifact: Artifact) -> bool:
    """Whether a training with exactly these settings and inputs has a backup to resume from."""
    return (backup_folder(artifact) / STATE).is_file()


def saved_history(folder: Path) -> list[dict[str, Any]]:
    """The history in a backup's state, a row for each epoch that is done. Reads only that part of the file.

    Raises:
        OSError: there is no state, or the disk failed.
        Exception: any error of NumPy and ``zipfile`` for a damaged file.
    """
    import numpy as np

    with np.load(folder / STATE, allow_pickle=False) as arrays:
        return json.loads(arrays["about"].tobytes())["history"]


def finished(artifact: Artifact) -> Manifest | None:
    """The manifest of a finished training, whatever its settings and inputs were.

    Returns:
        None where there is no manifest, or one of its files is missing or has another hash.
    """
    manifest = read_manifest(artifact.manifest_path)
    whole = manifest is not None and manifest.outputs and not verify(artifact, manifest)
    return manifest if whole else None


def agree(artifact: Artifact, replaced: Manifest) -> None:
    """Record that a training may replace a finished one; the record lasts until the training is done."""
    write_text(backup_folder(artifact) / CONSENT, replaced.checksum)


def agreed(artifact: Artifact, replaced: Manifest) -> bool:
    """Whether a training with exactly these settings and inputs may replace a finished one."""
    with contextlib.suppress(OSError):
        return (backup_folder(artifact) / CONSENT).read_bytes() == replaced.checksum.encode()
    return False
