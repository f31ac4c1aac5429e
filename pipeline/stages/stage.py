"""The declaration of a stage, and what a command asks of it.

Each stage is one module of this package with a ``STAGE``: its name, its help text, the artifacts that it makes (which
name their inputs, outputs, settings, version and lock wait) and the function that makes them. ``--help``,
``make help``, ``status``, ``clean``, the freshness checks and the walk along the road read that declaration and
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.artifacts import Artifact, Freshness, Layout, Manifest
from pipeline.config import ClusterSettings, KaggleSettings, UserError


@dataclass(frozen=True)
class Context:
    """What a command asks for: one experiment, or one blend, on one dataset."""

    layout: Layout
    freshness: Freshness
    folds: tuple[int, ...]
    """Folds that the command is about."""
    archive: Path | None = None
    """A zip or folder to take the tiles from, instead of Kaggle."""
    jobs: int = 1
    """Folds that are trained at the same time."""
    cluster: ClusterSettings | None = None
    """Where folds run, if on Ray."""
    kaggle: KaggleSettings | None = None
    """How kernels run, if folds run at Kaggle."""
    assignments: tuple[str, ...] = ()
    """Values of ``--set``."""
    retrain: bool = False
    """Whether finished folds may be replaced."""
    asked: str = ""
    """Name of the stage that the command is about."""

    def pending(self, stage: Stage) -> list[Artifact]:
        """The artifacts of a stage that are not done."""
        return [artifact for artifact in stage.artifacts(self) if not self.freshness.state(artifact).done]

    def manifest(self, artifact: Artifact) -> Manifest:
        """The manifest of an artifact that an earlier stage has made.

        Raises:
            UserError: another command has removed it since.
        """
        manifest = self.freshness.manifest(artifact)
        if manifest is None:
            raise UserError(f"{artifact.label}: {artifact.manifest_path} vanished meanwhile; run the command again")
        return manifest


@dataclass(frozen=True)
class Stage:
    """The declaration of one stage."""

    name: str
    """As typed by the user."""
    help: str
    """One line for ``--help`` and ``make help``."""
    artifacts: Callable[[Context], list[Artifact]]
    """What the stage makes for a command, in the order in which ``status`` lists it."""
    make: Callable[..., None]
    """Make whatever is not done. Takes one context, or several where ``side_by_side`` is set."""
    check: Callable[[Context], None] = lambda context: None
    """Refuse a command before anything is written for it, even a lock."""
    shared: bool = False
    """The same for all experiments on a dataset with the same split."""
    side_by_side: bool = False
    """The folds of several experiments may run at the same time. Each fold has a lock, which nobody waits for."""
    blended: bool = False
    """Also applies to a blend of several experiments."""
    owns_folder: bool = False
    """``clean`` removes the folders of the artifacts, not only the files that their manifests name."""
    leftovers: Callable[[Context], list[Path]] = lambda context: []
    """Other paths that ``clean`` removes."""


def of_members(layout: Layout, make: Callable[[Layout], Iterable[Artifact]]) -> Iterator[Artifact]:
    """Artifacts of an experiment; of a blend, those of each member, labelled with the member's name."""
    if not layout.is_blend:
        yield from make(layout)
    for member in layout.members if layout.is_blend else ():
        yield from (replace(artifact, owner=member.experiment) for artifact in make(member))
