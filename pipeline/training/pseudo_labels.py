"""Pseudo-labels: train on test tiles with the masks that the network itself predicts, beside the labelled tiles.

After Lee (2013), "Pseudo-Label: the simple and efficient semi-supervised learning method for deep neural networks". The
winners of the competition trained repeatedly on test tiles that their ensembles had labelled. But an ensemble of folds
has seen every labelled tile: its labels leak what it knows of a fold's validation tiles into that fold's training, and
the cross-validated score becomes too high. Here the network that is being trained labels the tiles itself, by the
moving average of its weights if it has one. No other fold takes part and no earlier training is needed. Nothing is
stored between epochs, since the weights at the beginning of an epoch determine its labels.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path

import numpy as np

from pipeline.config import TrainSettings, UserError
from pipeline.prediction.predictor import Predictor
from pipeline.system.atomic import mapped
from pipeline.training.confidence import most_confident
from pipeline.training.fold import FoldData, LabelledTiles, UnlabelledTiles

VIEWS = ("plain", "flip")
"""Views that are averaged to label a tile."""
FOLDER = ".pseudo"
"""Folder of the tiles with pseudo-labels, in the backup's; a resumed run does not need it."""


@contextmanager
def pseudo_labels(train: TrainSettings, data: FoldData, seed: int, backup: Path) -> Iterator[PseudoLabels | None]:
    """Create the pseudo-labels of a fold; remove their files at the end.

    Args:
        train: ``pseudo_fraction``, ``pseudo_keep_fraction``.
        data: of the fold.
        seed: of the fold.
        backup: folder of the checkpoint.

    Yields:
        None where ``pseudo_fraction`` is 0 or there are no unlabelled tiles.

    Raises:
        UserError: ``pseudo_fraction`` of the training tiles is less than one tile.
    """
    unlabelled = data.unlabelled
    if not train.pseudo_fraction or unlabelled is None or not len(unlabelled.images):
        yield None
        return
    count = round(train.pseudo_fraction * len(data.training))
    if not count:
        raise UserError(
            f"train.pseudo_fraction = {train.pseudo_fraction} of {len(data.training)} tiles is none; take more, or 0"
        )
    folder = backup / FOLDER
    try:  # the files may be created only in part, on a full disk
        yield PseudoLabels(data.tiles, unlabelled, count, train.pseudo_keep_fraction, seed, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PseudoLabels:
    """Labelled tiles, followed by room for unlabelled ones, in files.

    Args:
        labelled: n tiles.
        unlabelled: m tiles.
        count: pseudo-labelled tiles of an epoch, at most.
        share: of the tiles that are predicted in an epoch, those whose masks are the most confident are used.
        seed: of the choice of tiles that are predicted.
        folder: of the files; those of a killed run are overwritten. The caller removes it.

    Attributes:
        tiles: n + room tiles; the arrays are memory-mapped, so that processes that prepare batches see changes.
    """

    def __init__(
        self, labelled: LabelledTiles, unlabelled: UnlabelledTiles, count: int, share: float, seed: int, folder: Path
    ) -> None:
        self._unlabelled, self._share, self._seed = unlabelled, share, seed
        self._first, self._room = len(labelled.images), min(ceil(count / share), len(unlabelled.images))
        folder.mkdir(parents=True, exist_ok=True)
        depths = labelled.depths
        if depths is not None:
            depths = np.concatenate([depths, np.zeros(self._room, np.float32)])
        images = self._with_room(labelled.images, folder / "images.npy")
        self.tiles = LabelledTiles(images, self._with_room(labelled.masks, folder / "masks.npy"), depths)

    def renew(self, epoch: int, predict: Callable[[np.ndarray, np.ndarray | None], np.ndarray]) -> np.ndarray:
        """Predict some unlabelled tiles, and write the most confident of them behind the labelled tiles.

        Args:
            epoch: counted from 0; with the seed, it decides which tiles are predicted if there are more than needed.
            predict: maps tiles, (k, 101, 101) uint8, and their depths, (k,) float32 or None, to salt probabilities,
                (k, 101, 101) uint8 in 0..255.

        Returns:
            Rows of ``tiles`` that hold them, (kept,) int.
        """
        draw = np.random.default_rng((self._seed, epoch, len(self._unlabelled.images)))
        chosen = np.sort(draw.permutation(len(self._unlabelled.images))[: self._room])
        images = np.asarray(self._unlabelled.images[chosen])
        depths = None if self._unlabelled.depths is None else self._unlabelled.depths[chosen]
        kept, masks = most_confident(predict(images, depths), self._share)
        rows = self._first + np.arange(len(kept))
        self.tiles.images[rows], self.tiles.masks[rows] = images[kept], masks
        if self.tiles.depths is not None and depths is not None:
            self.tiles.depths[rows] = depths[kept]
        return rows

    def _with_room(self, array: np.ndarray, path: Path) -> np.ndarray:
        out: np.ndarray = mapped(path, (len(array) + self._room, *array.shape[1:]))
        out[: len(array)] = array
        return out


def predict_labels(predictor: Predictor, images: np.ndarray, depths: np.ndarray | None) -> np.ndarray:
    """Salt probabilities of tiles, (k, 101, 101) uint8, from which pseudo-labels are made."""
    return predictor(images, np.empty(images.shape, np.uint8), VIEWS, depths=depths)
