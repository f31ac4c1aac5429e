"""Pseudo-labels: a student is trained on test tiles that other experiments' networks, its teachers, have labelled.

After Lee (2013), "Pseudo-Label: the simple and efficient semi-supervised learning method for deep neural networks", and
Xie et al. (2020, https://arxiv.org/abs/1911.04252), whose student sees strongly augmented views of tiles with soft
labels. The winners of the competition trained repeatedly on test tiles that their ensembles had labelled. But an
ensemble of folds has seen every labelled tile: its labels leak what it knows of a fold's validation tiles into that
fold's training, and the cross-validated score becomes too high. Here the labels of a fold are the probabilities that
the teachers' networks of the same fold have predicted: none of them has seen a validation tile of the fold.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipeline.config import StudentSettings, UserError
from pipeline.data import stratify
from pipeline.scoring import blend
from pipeline.scoring.chunks import chunks
from pipeline.system.atomic import mapped
from pipeline.training.fold import FoldData, LabelledTiles, UnlabelledTiles

FOLDER = ".pseudo"
"""Folder of the tiles with pseudo-labels, in the backup's; a resumed run makes it again."""
CLASSES = 10
"""Classes of coverage, besides that of tiles without salt."""
SALT = 255
"""Value of a mask's pixel that is salt with probability 1."""


@contextmanager
def pseudo_labels(student: StudentSettings, data: FoldData, seed: int, backup: Path) -> Iterator[PseudoLabels | None]:
    """Create the pseudo-labels of a fold; remove their files at the end.

    Args:
        student: section ``student``.
        data: of the fold.
        seed: of the fold.
        backup: folder of the checkpoint.

    Yields:
        None where there are no teachers.

    Raises:
        UserError: no test tile is certain enough, or ``student.fraction`` of the training tiles is less than one tile.
    """
    if data.unlabelled is None or not data.unlabelled.probabilities:
        yield None
        return
    folder = backup / FOLDER
    try:  # the files may be created only in part, on a full disk
        yield PseudoLabels(student, data, data.unlabelled, seed, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PseudoLabels:
    """Labelled tiles, followed by the test tiles whose labels are certain, in files.

    Args:
        student: which test tiles, and how many of them.
        data: n labelled tiles, and which of them are trained on.
        unlabelled: test tiles and the teachers' probabilities.
        seed: of the draws.
        folder: of the files; those of a killed run are overwritten. The caller removes it.

    Attributes:
        tiles: n + m tiles, whose masks are probabilities in 0..255; the arrays are memory-mapped.

    Raises:
        UserError: no test tile is certain enough, none has the coverage of a labelled one, or ``student.fraction`` of
            the training tiles is less than one tile.
    """

    def __init__(
        self, student: StudentSettings, data: FoldData, unlabelled: UnlabelledTiles, seed: int, folder: Path
    ) -> None:
        self._student, self._seed = student, seed
        self._first = len(data.tiles.images)
        count = round(student.fraction * len(data.training))
        if not count:
            raise UserError(
                f"student.fraction = {student.fraction} of {len(data.training)} tiles is none; set it higher"
            )
        chosen = certain_tiles(unlabelled.probabilities, student)
        if not len(chosen):
            raise UserError(
                f"student.certain_pixels = {student.certain_pixels}: none of {len(unlabelled.images):,} test tiles is "
                "as certain; set it lower"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.tiles = _write(data.tiles, unlabelled, chosen, folder)
        self._classes = [
            self._first + np.flatnonzero(coverage_classes(self.tiles.masks[self._first :]) == each)
            for each in range(CLASSES + 1)
        ]
        labelled = np.bincount(coverage_classes(data.tiles.masks[data.training], salt=1), minlength=CLASSES + 1)
        self._counts = _counts(student, count, [len(rows) for rows in self._classes], labelled)
        if not sum(self._counts):
            raise UserError(
                f"student.balance = {student.balance}: no labelled tile has about as much salt as any of the "
                f"{len(chosen):,} certain test tiles; set student.balance=none"
            )

    def __len__(self) -> int:
        """Test tiles of an epoch."""
        return sum(self._counts)

    def rows(self, epoch: int) -> np.ndarray:
        """Rows of ``tiles`` with the test tiles of an epoch, none of them twice: (m,) int, ascending.

        Args:
            epoch: counted from 0; with the seed, it determines the draw.
        """
        draw = np.random.default_rng((self._seed, epoch, self._first))
        drawn = [draw.permutation(rows)[:count] for rows, count in zip(self._classes, self._counts, strict=True)]
        return np.sort(np.concatenate(drawn))


def certain_tiles(probabilities: Sequence[np.ndarray], student: StudentSettings) -> np.ndarray:
    """Tiles with few uncertain pixels.

    Args:
        probabilities: of each teacher, (n, height, width) uint8, v stands for v / 255; may be memory-mapped.
        student: ``uncertain``, ``certain_pixels``.

    Returns:
        Their rows, ascending, (m,) int.
    """
    low, high = (255 * limit for limit in student.uncertain)
    kept = [np.zeros(0, np.int64)]
    for part in chunks(len(probabilities[0])):
        mean = blend.average(probabilities, part.start, part.stop)
        uncertain = (mean > low) & (mean < high)
        kept.append(part.start + np.flatnonzero(1 - uncertain.mean(axis=(1, 2)) >= student.certain_pixels))
    return np.concatenate(kept)


def coverage_classes(masks: np.ndarray, salt: int = SALT) -> np.ndarray:
    """Class of each tile: 0 without salt, otherwise 1 to ``CLASSES`` by the share of its pixels that are salt.

    Args:
        masks: (n, height, width) uint8; a pixel is salt above half of ``salt``. May be memory-mapped.
        salt: value of a pixel that is salt.

    Returns:
        (n,) int64.
    """
    coverage = np.zeros(len(masks))
    for part in chunks(len(masks)):
        coverage[part] = (2 * np.asarray(masks[part], np.int16) > salt).mean(axis=(1, 2))
    return stratify.coverage_classes(coverage, CLASSES)


def _counts(student: StudentSettings, count: int, available: Sequence[int], labelled: np.ndarray) -> list[int]:
    """How many test tiles of each class an epoch has: at most all of them.

    Rounded by the largest remainders, so that the sum is ``count`` where there are enough tiles of each class.
    """
    weights = {
        "labelled": labelled,
        "equal": np.array([each > 0 for each in available]),
        "none": np.array(available),
    }[student.balance]
    exact = count * weights / max(weights.sum(), 1)
    wanted = np.floor(exact).astype(int)
    wanted[np.argsort(wanted - exact, kind="stable")[: count - wanted.sum()]] += 1
    return np.minimum(wanted, available).tolist()


def _write(labelled: LabelledTiles, unlabelled: UnlabelledTiles, chosen: np.ndarray, folder: Path) -> LabelledTiles:
    """Files with the labelled tiles, followed by the chosen test tiles."""
    first, count = len(labelled.images), len(labelled.images) + len(chosen)
    images: np.ndarray = mapped(folder / "images.npy", (count, *labelled.images.shape[1:]))
    masks: np.ndarray = mapped(folder / "masks.npy", (count, *labelled.masks.shape[1:]))
    images[:first] = labelled.images
    np.multiply(labelled.masks, np.uint8(SALT // labelled.salt), out=masks[:first])
    for part in chunks(len(chosen)):
        here = slice(first + part.start, first + part.stop)
        rows = chosen[part]
        images[here] = unlabelled.images[rows]
        masks[here] = blend.average([each[rows] for each in unlabelled.probabilities], 0, len(rows))
    depths = labelled.depths
    if depths is not None and unlabelled.depths is not None:
        depths = np.concatenate([depths, unlabelled.depths[chosen]])
    return LabelledTiles(images, masks, depths, SALT)
