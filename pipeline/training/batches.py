"""The data set that feeds training: augmented batches in an order that (seed, epoch) alone decides."""

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


class Batches(keras.utils.PyDataset):
    """Augmented training batches of one fold.

    The order is the data set's own: call ``start(epoch)`` before each epoch and ``fit(shuffle=False)``. Keras' own
    shuffling draws from global state, which a resumed run could not restore. The last, smaller batch is left out (its
    tiles come at other places of other epochs), so that every step has the same shape and weight.

    Args:
        images: (n, 101, 101) uint8 grey values, may be memory-mapped.
        masks: (n, 101, 101) uint8, 1 where salt is.
        indices: (m,) int, rows of ``images`` to train on.
        transform: fit to the network's input.
        augment: training policy.
        batch: tiles per step.
        seed: of order and augmentation.
        workers: processes that prepare the batches of ``ahead``; 1 is a thread of this one. The batches are the same.
        depths: (n,) float32 in feet, for a network that sees them as a second channel of its inputs.

    Each item is ``(inputs, targets)`` or ``(inputs, targets, weights)``: (batch, size, size, 1) float32 in 0..255,
    (batch, output, output, 1) float32 0/1 and (batch, output, output) float32.
    """

    def __init__(
        self,
        images: np.ndarray,
        masks: np.ndarray,
        indices: np.ndarray,
        transform: InputTransform,
        augment: AugmentSettings,
        batch: int,
        seed: int,
        workers: int = 1,
        depths: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self._images, self._masks, self._depths, self._transform, self._augment = (
            images,
            masks,
            depths,
            transform,
            augment,
        )
        self._indices = np.sort(np.asarray(indices))
        # A fold smaller than one batch is one smaller batch, rather than no step at all.
        self.batch, self._seed = min(batch, len(self._indices)), seed
        self._local = threading.local()
        self._workers = workers
        self._pool: AugmentPool | None = None
        self.start(0)

    def start(self, epoch: int, weighted: bool = False, others: np.ndarray | None = None) -> None:
        """Deal the tiles of an epoch.

        Args:
            epoch: the first is 0.
            weighted: also give the border weights of Ronneberger et al. (2015) as sample weights.
            others: rows that come in the place of as many of the rows to train on, drawn at random; the epoch is as
                long as without.
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
        """The batch of one step; any thread may ask for any step."""
        chosen = self._order[step * self.batch : (step + 1) * self.batch]
        images, masks = self._views(chosen)
        depths = None if self._depths is None else self._depths[chosen]
        images, targets = self._transform.to_input(images, depths), self._transform.to_target(masks)
        if not self._weighted:
            return images, targets
        return images, targets, np.stack([border_weights(target[..., 0].astype(np.uint8)) for target in targets])

    def _views(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._pool is not None:
            return self._pool.views(chosen, self._seed, self._epoch)
        augmenter = getattr(self._local, "augmenter", None)
        if augmenter is None:
            augmenter = self._local.augmenter = Augmenter(self._augment)
        return augmenter.views(self._images, self._masks, chosen, self._seed, self._epoch)

    def ahead(self) -> Iterator[tuple[np.ndarray, ...]]:
        """The epoch's batches in their order, prepared a little ahead of their use; then ``close`` in the end.

        Each worker is a thread, and where there are several, a process that the thread has augment its tiles.
        """
        if self._workers > 1 and self._pool is None:
            self._pool = AugmentPool(self._images, self._masks, self._augment, self._workers)
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[Future[tuple[np.ndarray, ...]]] = deque()
            for step in range(len(self)):
                waiting.append(pool.submit(self.__getitem__, step))
                if len(waiting) > 2 * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def close(self) -> None:
        """End the processes that ``ahead`` has started."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def images(self, tiles: int) -> Iterator[np.ndarray]:
        """Inputs of the epoch's first batches, as many as hold so many tiles, or all; the same each time."""
        for inputs, *_ in islice(self.ahead(), ceil(tiles / self.batch)):
            yield inputs
