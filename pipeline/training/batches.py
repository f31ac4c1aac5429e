"""Training batches: augmented tiles, in an order that depends on seed and epoch only."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from math import ceil

import keras
import numpy as np

from pipeline.config import AugmentSettings
from pipeline.data.input_transform import InputTransform
from pipeline.network.border_weights import border_weights
from pipeline.training.augment import Augmenter
from pipeline.training.augment_pool import AugmentPool
from pipeline.training.fold import LabelledTiles


class Batches(keras.utils.PyDataset):
    """Augmented training batches of one fold.

    Call ``start(epoch)`` before each epoch, and ``fit(shuffle=False)``: Keras' own shuffling draws from global state,
    which a resumed run could not restore. The smaller batch at the end of an epoch is left out, so that every step has
    the same shape and weight; in other epochs its tiles come in other batches.

    Args:
        tiles: n labelled tiles.
        indices: (m,) int, rows of ``tiles`` to train on.
        transform: between tile and network.
        augment: training policy.
        batch: tiles per step.
        seed: of order and augmentation.
        workers: processes that prepare the batches of ``ahead``; 1 is a thread of this process. The batches are the
            same with any number.

    Each item is ``(inputs, targets)`` or ``(inputs, targets, weights)``: (batch, size, size, channels) float32, grey
    values in 0..255 and the depth in feet where ``tiles`` has depths; (batch, output, output, 1) float32 in 0..1; and
    (batch, output, output) float32.
    """

    def __init__(
        self,
        tiles: LabelledTiles,
        indices: np.ndarray,
        transform: InputTransform,
        augment: AugmentSettings,
        batch: int,
        seed: int,
        workers: int = 1,
    ) -> None:
        super().__init__()
        self._tiles, self._transform, self._augment = tiles, transform, augment
        self._indices = np.sort(np.asarray(indices))
        # A fold smaller than one batch has one smaller batch, rather than no step at all.
        self.batch, self._seed = min(batch, len(self._indices)), seed
        self._local = threading.local()
        self._workers = workers
        self._pool: AugmentPool | None = None
        self.start(0)

    def start(self, epoch: int, weighted: bool = False, others: np.ndarray | None = None) -> None:
        """Draw the order of an epoch.

        Args:
            epoch: counted from 0.
            weighted: add the border weights of Ronneberger et al. (2015) as sample weights.
            others: rows that replace as many rows to train on, drawn at random; the length of the epoch is unchanged.
        """
        self._epoch, self._weighted = epoch, weighted
        draw = np.random.default_rng((self._seed, epoch))
        self._order = draw.permutation(self._indices)
        if others is not None and len(others):
            self._order = draw.permutation(np.concatenate([self._order[len(others) :], others]))

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self._indices) // self.batch

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        """The batch of one step; may be called from any thread, for the steps in any order."""
        chosen = self._order[step * self.batch : (step + 1) * self.batch]
        images, masks = self._augmented(chosen)
        depths = None if self._tiles.depths is None else self._tiles.depths[chosen]
        images, targets = self._transform.to_input(images, depths), self._transform.to_target(masks)
        if self._tiles.salt != 1:
            targets /= self._tiles.salt
        if not self._weighted:
            return images, targets
        return (
            images,
            targets,
            np.stack([border_weights((target[..., 0] > 0.5).astype(np.uint8)) for target in targets]),
        )

    def _augmented(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._pool is not None:
            return self._pool.augment_rows(chosen, self._seed, self._epoch)
        augmenter = getattr(self._local, "augmenter", None)
        if augmenter is None:
            augmenter = self._local.augmenter = Augmenter(self._augment)
        return augmenter.augment_rows(self._tiles.images, self._tiles.masks, chosen, self._seed, self._epoch)

    def ahead(self) -> Iterator[tuple[np.ndarray, ...]]:
        """The epoch's batches in order, prepared shortly before they are used. Call ``close`` after the last epoch.

        Each worker is a thread. With several, each thread has its tiles augmented by a process.
        """
        if self._workers > 1 and self._pool is None:
            self._pool = AugmentPool(self._tiles.images, self._tiles.masks, self._augment, self._workers)
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[Future[tuple[np.ndarray, ...]]] = deque()
            for step in range(len(self)):
                waiting.append(pool.submit(self.__getitem__, step))
                if len(waiting) > 2 * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def close(self) -> None:
        """End the processes that ``ahead`` started."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def images(self, tiles: int) -> Iterator[np.ndarray]:
        """Inputs of the epoch's first batches, with at least ``tiles`` tiles, or all; the same at each call."""
        for inputs, *_ in islice(self.ahead(), ceil(tiles / self.batch)):
            yield inputs
