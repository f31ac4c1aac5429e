"""The road, one module a stage: each reads the artifacts of the stages before it and writes its own.

A stage's module has ``run(context)``, which makes whatever of the stage is not done (``train`` and ``predict`` take
several contexts, whose folds a cluster runs side by side). Stages never import each other;
the command line walks the road.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import Artifact, Freshness, Layout
from pipeline.config import ClusterSettings

ROAD = ("download", "prepare", "split", "train", "validate", "report", "predict", "submit")


@dataclass(frozen=True)
class Context:
    """What a command was asked for."""

    layout: Layout
    freshness: Freshness
    folds: tuple[int, ...]
    """Folds that the command is about."""
    archive: Path | None = None
    """A zip or folder to take the tiles from, instead of Kaggle."""
    jobs: int = 1
    """Folds at once."""
    cluster: ClusterSettings | None = None
    """Where folds run, if on Ray."""
    assignments: tuple[str, ...] = ()
    """What was set by ``--set``."""
    retrain: bool = False
    """Finished folds may be replaced."""

    def artifacts(self, stage: str) -> list[Artifact]:
        """What a stage makes for this command."""
        layout = self.layout
        return {
            "download": lambda: [layout.raw],
            "prepare": lambda: [layout.tiles],
            "split": lambda: [layout.split],
            "train": lambda: [each(fold) for fold in self.folds for each in (layout.train, layout.out_of_fold)],
            "validate": lambda: [layout.validation(self.folds)],
            "report": lambda: [layout.report(self.folds)],
            "predict": lambda: [layout.test(fold) for fold in self.folds],
            "submit": lambda: [layout.submission(self.folds)],
        }[stage]()

    def pending(self, stage: str) -> list[Artifact]:
        """What of a stage is not done."""
        return [artifact for artifact in self.artifacts(stage) if not self.freshness.state(artifact).done]
