"""Worker processes that augment tiles, for a machine with a GPU, which would wait for a single one.

Threads would not help: most of the augmentation is Python code, which runs in one thread at a time. Little data is sent
between processes: row numbers, and augmented uint8 tiles. Each process reads the original tiles from a file. No process
imports a framework, so none allocates memory on the GPU.
"""

from __future__ import annotations

import io
import mmap
import multiprocessing
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from pipeline.config import AugmentSettings, UserError
from pipeline.system import disk
from pipeline.system.worker import start_worker
from pipeline.training.augment import Augmenter


class AugmentPool:
    """Processes that augment tiles; ``close`` ends them.

    They are spawned, not forked, since a framework's threads do not survive a fork. They end when this process ends,
    even if it is killed.

    Args:
        images: (n, 101, 101) uint8 grey values. Each process opens a memory-mapped .npy file; any other array is copied
            to a temporary file.
        masks: (n, 101, 101) uint8, 1 where salt is, likewise.
        augment: training policy.
        workers: processes.
    """

    def __init__(self, images: np.ndarray, masks: np.ndarray, augment: AugmentSettings, workers: int) -> None:
        self._copies = ExitStack()
        tiles = _file(images, self._copies), _file(masks, self._copies)
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, context, initializer=_initialize, initargs=(*tiles, augment))

    def augment_rows(self, rows: np.ndarray, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Call ``Augmenter.augment_rows`` in one of the processes; may be called from any thread.

        Raises:
            UserError: a process was killed.
        """
        try:
            return self._pool.submit(_augment_rows, rows, seed, epoch).result()
        except BrokenProcessPool:
            raise UserError(
                "a process that prepares batches was killed, perhaps because memory ran out; lower train.workers, or "
                "set it to 1 to start no processes"
            ) from None

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._copies.close()


def _file(array: np.ndarray, copies: ExitStack) -> Path:
    """A .npy file with the content of an array: the one that all of it is memory-mapped from, or a copy."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and str(array.filename).endswith(".npy"):
        return Path(str(array.filename))
    path = Path(copies.enter_context(tempfile.TemporaryDirectory(prefix="augment-"))) / "tiles.npy"
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    disk.write(path, content.getbuffer(), durable=False)
    return path


# ---- In a worker process --------------------------------------------------------------------------------------------


def _initialize(images: Path, masks: Path, augment: AugmentSettings) -> None:
    global _augment
    start_worker()
    cv2.setNumThreads(1)
    tiles = [np.load(path, mmap_mode="r", allow_pickle=False) for path in (images, masks)]
    _augment = partial(Augmenter(augment).augment_rows, *tiles)


def _augment_rows(rows: np.ndarray, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    return _augment(rows, seed, epoch)


_augment: Callable[[np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]
"""``Augmenter.augment_rows`` with images and masks; set by ``_initialize``."""
