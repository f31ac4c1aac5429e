"""An artifact: what one stage, or one fold of it, leaves on disk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.artifacts.results import Result

LOCKS = ".locks"
"""Name of the folders of lock files."""


@dataclass(frozen=True)
class Artifact:
    """What one stage leaves on disk, and what that depends on. Each stage declares its own, see ``pipeline.stages``."""

    name: str
    """As shown to the user, for example ``train fold 0``."""
    stage: str
    """The stage that makes it."""
    folder: Path
    manifest_name: str
    outputs: tuple[str, ...]
    """Files and folders, relative to ``folder``, that later stages depend on."""
    extras: tuple[str, ...] = ()
    """Files that are verified as well, but that nothing depends on (they hold times, for example)."""
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    """The settings that decide its content."""
    inputs: tuple[Artifact, ...] = ()
    """The artifacts that it is made from."""
    version: int = 1
    """Version of its content. Raise it when a change of the code makes old artifacts wrong.

    A new setting needs no new version as long as its default is what was done before the setting existed: in an older
    manifest it counts as its default.
    """
    result: type[Result] = Result
    """Schema of the result in its manifest."""
    lock_wait: float = 0.0
    """Seconds to wait for another process that makes it. Nobody waits for the work of a fold, which takes long."""
    experiment: str = ""
    """The experiment that its result must name, where the result names one."""
    owner: str = ""
    """Its experiment, where it is an input beside the same artifact of other experiments."""

    @property
    def label(self) -> str:
        """Its name among the inputs of another artifact."""
        return f"{self.owner} {self.name}".lstrip()

    def moved(self, old: Path, new: Path) -> Artifact:
        """The same artifact, and the same inputs, below another root folder."""
        inputs = tuple(each.moved(old, new) for each in self.inputs)
        return replace(self, folder=new / self.folder.relative_to(old), inputs=inputs)

    @property
    def path(self) -> Path:
        """The first output."""
        return self.folder / self.outputs[0]

    @property
    def paths(self) -> list[Path]:
        """All outputs."""
        return [self.folder / name for name in self.outputs]

    @property
    def manifest_path(self) -> Path:
        return self.folder / self.manifest_name

    @property
    def lock_path(self) -> Path:
        """The file that is locked while the artifact is made, outside the folder, which may be replaced."""
        # Artifacts of several experiments may lie in one folder.
        own = {self.folder.name: None, self.experiment: None, self.name.replace(" ", "-"): None}
        return self.folder.absolute().parent / LOCKS / f"{'-'.join(filter(None, own))}.lock"
