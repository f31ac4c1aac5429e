"""The work of one fold: all that a process, here or on another machine, needs to train it or to predict with it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from pipeline.artifacts import Artifact
from pipeline.config import Settings


@dataclass(frozen=True, kw_only=True)
class FoldTask:
    """A fold of an experiment, and the artifacts that every work on it reads."""

    root: Path
    """The folder of ``data/``, in which all artifacts lie."""
    experiment: str
    settings: Settings
    fold: int
    tiles: Artifact
    trained: Artifact

    def moved(self, root: Path) -> Self:
        """The same task below another root folder."""
        here = {field.name: getattr(self, field.name) for field in fields(self)}
        there: dict[str, Any] = {
            name: each.moved(self.root, root) for name, each in here.items() if isinstance(each, Artifact)
        }
        return replace(self, root=root, **there)


@dataclass(frozen=True, kw_only=True)
class TrainTask(FoldTask):
    """Train a fold, and predict the tiles that its network did not see."""

    split: Artifact
    out_of_fold: Artifact
    pretrained: Artifact | None = None
    """The network to start from, with ``train.pretrain``."""

    @property
    def labels(self) -> list[Artifact]:
        """The teachers' predictions of the test tiles, for a student."""
        return [each for each in self.trained.inputs if each.stage == "predict"]


@dataclass(frozen=True)
class PretrainTask:
    """Pretrain the network of experiments."""

    settings: Settings
    tiles: Artifact
    pretrained: Artifact


@dataclass(frozen=True, kw_only=True)
class PredictTask(FoldTask):
    """Predict the test tiles with a fold's network."""

    predicted: Artifact

    def part(self, start: int) -> Artifact:
        """Probabilities of the test tiles from ``start`` on, one chunk, while other machines predict other chunks."""
        whole = self.predicted
        return replace(
            whole,
            name=f"{whole.name} from tile {start}",
            folder=parts_folder(whole),
            manifest_name=f"{start}.json",
            outputs=(f"{start}.npy",),
        )

    def remove_parts(self) -> None:
        """Remove the chunks, which have no use once all test tiles are predicted."""
        shutil.rmtree(parts_folder(self.predicted), ignore_errors=True)


def parts_folder(predicted: Artifact) -> Path:
    """Where the chunks of a fold's test predictions lie."""
    return predicted.folder / f"{predicted.manifest_path.stem}.parts"
