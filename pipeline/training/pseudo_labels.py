"""Pseudo-labels: test tiles that the network has labelled itself, to train on beside the labelled ones.

After Lee (2013), "Pseudo-Label: the simple and efficient semi-supervised learning method for deep neural networks"; the
winners of the competition trained again and again on test tiles that their ensembles had labelled. An ensemble of folds
has seen every labelled tile, and its labels carry what it knows of a fold's validation tiles into that fold's training,
so that its cross-validated score flatters. Here the network that learns labels for itself, with the moving average of
its weights where it has one: no other fold has a part in it, no first training has to be done, and there is nothing to
keep between two epochs, since the weights that an epoch begins with tell which labels it learns from.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path

import numpy as np

from pipeline.scoring import thresholding
from pipeline.system.atomic import mapped

VIEWS = ("plain", "flip")
"""What the network looks at to label a tile."""


class PseudoLabels:
    """Labelled tiles, and room behind them for test tiles, in a folder that the caller removes in the end.

    Args:
        images: (n, 101, 101) uint8 labelled tiles.
        masks: (n, 101, 101) uint8 0/1.
        unlabelled: (m, 101, 101) uint8 test tiles, may be memory-mapped.
        tiles: most test tiles of an epoch.
        sure: share of the test tiles looked at that is kept.
        seed: of which tiles are looked at.
        folder: where the files lie; what a killed run left there is written over.
        depths: (n,) and (m,) float32 in feet, for a network that sees them.
    """

    def __init__(
        self,
        images: np.ndarray,
        masks: np.ndarray,
        unlabelled: np.ndarray,
        tiles: int,
        sure: float,
        seed: int,
        folder: Path,
        depths: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self._unlabelled, self._sure, self._seed = unlabelled, sure, seed
        self._looked_at = min(ceil(tiles / sure), len(unlabelled))
        self._labelled = len(images)
        # In files, so that the processes that prepare batches see what is written here.
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.images = self._with_room(images, "images.npy")
        """(n + room, 101, 101) uint8."""
        self.masks = self._with_room(masks, "masks.npy")
        """(n + room, 101, 101) uint8 0/1."""
        self._unlabelled_depths = None if depths is None else depths[1]
        self.depths = None if depths is None else np.concatenate([depths[0], np.zeros(self._looked_at, np.float32)])
        """(n + room,) float32 in feet, where the network sees them."""

    def renew(self, epoch: int, label: Callable[[np.ndarray, np.ndarray | None], np.ndarray]) -> np.ndarray:
        """Have some test tiles labelled and put the surest of them behind the labelled tiles.

        Args:
            epoch: the first is 0; it decides which tiles are looked at, where there are more than needed.
            label: gives salt probabilities, uint8 in 0..255, of (k, 101, 101) tiles and their depths.

        Returns:
            Rows of ``images`` and ``masks`` that hold them, (kept,) int.
        """
        draw = np.random.default_rng((self._seed, epoch, len(self._unlabelled)))
        chosen = np.sort(draw.permutation(len(self._unlabelled))[: self._looked_at])
        images = np.asarray(self._unlabelled[chosen])
        depths = None if self._unlabelled_depths is None else self._unlabelled_depths[chosen]
        kept, masks = most_confident(label(images, depths), self._sure)
        rows = self._labelled + np.arange(len(kept))
        self.images[rows], self.masks[rows] = images[kept], masks
        if self.depths is not None and depths is not None:
            self.depths[rows] = depths[kept]
        return rows

    def _with_room(self, array: np.ndarray, name: str) -> np.ndarray:
        shape = (len(array) + self._looked_at, *array.shape[1:])
        out: np.ndarray = mapped(self._folder / name, shape)
        out[: len(array)] = array
        return out


def most_confident(probabilities: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The tiles that a network is surest of, and the masks that it sees there.

    A tile with salt is as sure as the IoU that it may expect with its mask; a tile without, as little salt as may be
    expected in it all the same. The share is taken from both kinds apart: of all together the surest are those that
    there is least to learn from.

    Args:
        probabilities: (n, height, width) uint8, v stands for v / 255.
        share: of the tiles that is kept.

    Returns:
        Their numbers, ascending, (kept,) int, and their masks, (kept, height, width) uint8 0/1.
    """
    masks = thresholding.apply(probabilities, 0.5, 0)
    inside = np.where(masks, probabilities, 0).sum(axis=(1, 2), dtype=np.float64)
    outside = probabilities.sum(axis=(1, 2), dtype=np.float64) - inside
    area = masks.sum(axis=(1, 2))
    sure = np.where(area > 0, inside / np.maximum(255 * area + outside, 1), -outside)
    kept = []
    for kind in (np.flatnonzero(area > 0), np.flatnonzero(area == 0)):
        order = kind[np.argsort(-sure[kind], kind="stable")]
        kept.append(order[: int(share * len(kind))])
    rows = np.sort(np.concatenate(kept))
    return rows, masks[rows].astype(np.uint8)
