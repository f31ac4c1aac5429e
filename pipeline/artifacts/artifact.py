"""An artifact: what one stage, or one fold of it, leaves on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = {
    "download": 1,
    "prepare": 1,
    "split": 1,
    "train": 2,
    "oof": 2,
    "validate": 3,
    "report": 3,
    "predict": 2,
    "submit": 4,
}
"""Version of what each stage writes. Raise it when a change of the code makes old artifacts wrong.

A new setting needs no higher one as long as its default is what was done before there was the setting: in an older
manifest it counts as its default.
"""
PATIENCE = {"download": 3600.0, **dict.fromkeys(("prepare", "split", "validate", "report", "submit"), 600.0)}
"""Seconds to wait for the lock of a stage's artifact. Training and prediction may take hours; nobody waits for them."""
LOCKS = ".locks"
"""Name of the folders of lock files."""


@dataclass(frozen=True)
class Artifact:
    """What one stage leaves on disk, and what that depends on."""

    name: str
    """As people call it, for example ``train fold 0``."""
    stage: str
    folder: Path
    manifest_name: str
    outputs: tuple[str, ...]
    """Files and folders, relative to ``folder``, that what follows depends on."""
    extras: tuple[str, ...] = ()
    """Files that are checked alike, but that nothing depends on (they hold times, for example)."""
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    inputs: tuple[Artifact, ...] = ()
    owner: str = ""
    """The experiment that it is of, where it is an input beside the same of other experiments."""

    @property
    def label(self) -> str:
        """Its name among the inputs of something."""
        return f"{self.owner} {self.name}".lstrip()

    @property
    def manifest_path(self) -> Path:
        return self.folder / self.manifest_name

    @property
    def lock_path(self) -> Path:
        """The file that is locked while the artifact is made, outside the folder, which may be replaced."""
        parts = [self.folder.name, self.name.replace(" ", "-")]
        if self.stage == "submit":  # of all experiments in one folder
            parts.insert(1, Path(self.manifest_name).stem)
        return self.folder.absolute().parent / LOCKS / f"{'-'.join(parts)}.lock"
