"""The data that one fold is trained on, and its training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.artifacts import backup_name
from pipeline.config import Settings
from pipeline.system.progress import FoldCallback


@dataclass(frozen=True)
class LabelledTiles:
    """Tiles with their masks.

    Attributes:
        images: (n, 101, 101) uint8 grey values, may be memory-mapped.
        masks: (n, 101, 101) uint8 in 0..``salt``, may be memory-mapped.
        depths: (n,) float32 in feet, for a network with a depth channel.
        salt: value of a pixel that is salt; a mask's pixel divided by it is the probability of salt.
    """

    images: np.ndarray
    masks: np.ndarray
    depths: np.ndarray | None = None
    salt: int = 1

    def rows(self, rows: np.ndarray) -> LabelledTiles:
        """The tiles in some rows, copied into memory."""
        depths = None if self.depths is None else self.depths[rows]
        return LabelledTiles(self.images[rows], self.masks[rows], depths, self.salt)


@dataclass(frozen=True)
class UnlabelledTiles:
    """Tiles without masks.

    Attributes:
        images: (m, 101, 101) uint8 grey values, may be memory-mapped.
        depths: (m,) float32 in feet, for a network with a depth channel.
        probabilities: of each teacher of a student, (m, 101, 101) uint8, v stands for v / 255; may be memory-mapped.
    """

    images: np.ndarray
    depths: np.ndarray | None = None
    probabilities: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class FoldData:
    """The tiles of one fold.

    Attributes:
        tiles: all labelled tiles.
        training: (t,) int, rows of ``tiles`` to train on.
        validation: (v,) int, rows of ``tiles`` to score on.
        unlabelled: test tiles with their labels, for a student.
    """

    tiles: LabelledTiles
    training: np.ndarray
    validation: np.ndarray
    unlabelled: UnlabelledTiles | None = None


@dataclass(frozen=True)
class FoldRun:
    """The training run of one fold.

    Attributes:
        settings: of the experiment.
        fold: number of the fold; part of the seed.
        folder: for the weights (``files.weight_files``), ``history.csv`` and, during training, the backup.
        identity: fingerprint of settings and inputs. A run resumes only from a backup with the same identity.
        callback: receives the progress.
        before_overwrite: called once, after the last epoch, before the first file of an earlier training is replaced.
        pretrained: file of the weights of ``train.pretrain`` to start from, or None.
    """

    settings: Settings
    fold: int
    folder: Path
    identity: str
    callback: FoldCallback = field(default_factory=FoldCallback)
    before_overwrite: Callable[[], object] = lambda: None
    pretrained: Path | None = None

    @property
    def seed(self) -> int:
        """Seed of the fold, in the range that NumPy, and thus Keras, accepts."""
        return (self.settings.train.seed * 1000 + self.fold) % 2**32

    @property
    def backup_folder(self) -> Path:
        """Folder of the checkpoint."""
        return self.folder / backup_name(self.identity)
