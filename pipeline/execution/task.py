"""The work on one fold of an experiment: its settings and artifacts, and nothing else of the folder layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pipeline.artifacts import Artifact, Layout, remove_parts
from pipeline.config import Settings


@dataclass(frozen=True)
class FoldTask:
    """A fold, and the artifacts that all work on it reads."""

    layout: Layout
    fold: int

    @property
    def root(self) -> Path:
        """The folder of ``data/``, in which all artifacts lie."""
        return self.layout.root

    @property
    def experiment(self) -> str:
        return self.layout.experiment

    @property
    def settings(self) -> Settings:
        return self.layout.settings

    @property
    def tiles(self) -> Artifact:
        return self.layout.tiles

    @property
    def trained(self) -> Artifact:
        return self.layout.train(self.fold)

    def moved(self, root: Path) -> Self:
        """The same task below another root folder."""
        layout = self.layout
        return replace(self, layout=Layout(root, layout.dataset, layout.experiment, layout.settings))


@dataclass(frozen=True)
class TrainTask(FoldTask):
    """Train a fold, and predict the tiles that its network did not see."""

    @property
    def out_of_fold(self) -> Artifact:
        return self.layout.out_of_fold(self.fold)


@dataclass(frozen=True)
class PredictTask(FoldTask):
    """Predict the test tiles with a fold's network."""

    @property
    def predicted(self) -> Artifact:
        return self.layout.test(self.fold)

    def part(self, start: int) -> Artifact:
        """Probabilities of one chunk of the test tiles, from tile ``start``, until all chunks are joined."""
        return self.layout.test_part(self.fold, start)

    def remove_parts(self) -> None:
        """Remove the chunks."""
        remove_parts(self.layout, self.fold)
