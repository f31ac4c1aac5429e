"""A user at home: a root folder, and the folds of an experiment at Kaggle."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.artifacts import Artifact, Freshness, Layout, verify
from pipeline.config import KaggleSettings, UserError, load
from pipeline.execution.kaggle import folds
from pipeline.stages import download, predict, prepare, split, train
from tests.hollow import fill

PLACE = KaggleSettings()


class Home:
    """A root folder with hollow artifacts.

    Args:
        root: the folder.
        capsys: of the test.
        assignments: settings.
    """

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], assignments: tuple[str, ...] = ()) -> None:
        self.layout = Layout(root, "tgs", "unet", load("unet", ["split.folds=3", *assignments]))
        self.root, self._capsys = root, capsys

    def prepare(self) -> Home:
        """Make tiles and folds."""
        for artifact in (download.artifact(self.layout), prepare.artifact(self.layout), split.artifact(self.layout)):
            fill(artifact)
        return self

    def finish(self) -> Home:
        """Make all folds and predictions, as a kernel does."""
        for fold in self.layout.folds:
            for artifact in self.trained(fold):
                fill(artifact)
            fill(predict.artifact(self.layout, fold))
        return self

    def trained(self, fold: int) -> list[Artifact]:
        return [train.trained(self.layout, fold), train.out_of_fold(self.layout, fold)]

    def done(self) -> list[int]:
        """Folds that are trained, every file as its manifest says."""
        return [fold for fold in self.layout.folds if all(map(whole, self.trained(fold)))]

    def predicted(self) -> list[int]:
        return [fold for fold in self.layout.folds if whole(predict.artifact(self.layout, fold))]

    def train(self, *numbers: int, place: KaggleSettings = PLACE) -> str:
        """Train folds, by default all; returns what was printed."""
        self._capsys.readouterr()
        folds.train([train.task(self.layout, fold) for fold in numbers or self.layout.folds], place)
        return self._capsys.readouterr().out

    def predict(self, *numbers: int) -> str:
        self._capsys.readouterr()
        folds.predict([predict.task(self.layout, fold) for fold in numbers or self.layout.folds])
        return self._capsys.readouterr().out

    def refused(self, *numbers: int, place: KaggleSettings = PLACE) -> str:
        """The error of a training, which is one line."""
        with pytest.raises(UserError) as caught:
            self.train(*numbers, place=place)
        line = str(caught.value)
        assert "\n" not in line
        return line


def whole(artifact: Artifact) -> bool:
    freshness = Freshness()
    manifest = freshness.manifest(artifact)
    return manifest is not None and freshness.state(artifact).done and not verify(artifact, manifest)
