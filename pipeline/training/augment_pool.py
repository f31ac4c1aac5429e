"""Processes that augment tiles, for a machine whose GPU would wait for one.

Threads do not help: most of a random view is Python, which runs in one thread at a time. What goes to a process and
comes back is small (a few numbers, and uint8 tiles); the tiles themselves each process reads from one file. The
processes load no framework, so that none of them takes hold of a GPU.
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
    """Processes that make random views of tiles; ``close`` ends them.

    They are started anew, not forked, since a framework's threads do not survive a fork, and end with this process,
    however it ends.

    Args:
        images: (n, 101, 101) uint8 grey values. A memory-mapped .npy file is opened by each process; anything else is
            copied to a temporary one.
        masks: (n, 101, 101) uint8, 1 where salt is, likewise.
        augment: training policy.
        workers: processes.
    """

    def __init__(self, images: np.ndarray, masks: np.ndarray, augment: AugmentSettings, workers: int) -> None:
        self._copies = ExitStack()
        tiles = _file(images, self._copies), _file(masks, self._copies)
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(*tiles, augment))

    def views(self, chosen: np.ndarray, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """What ``Augmenter.views`` gives, made in one of the processes; any thread may ask.

        Raises:
            UserError: a process was killed.
        """
        try:
            return self._pool.submit(_views, chosen, seed, epoch).result()
        except BrokenProcessPool:
            raise UserError(
                "a process that prepares batches was killed, perhaps for want of memory; fewer need less: lower "
                "train.workers, or set it to 1 to have none"
            ) from None

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._copies.close()


def _file(array: np.ndarray, copies: ExitStack) -> Path:
    """A .npy file with the content of an array: its own, if it is a whole one that is memory-mapped; else a copy."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and str(array.filename).endswith(".npy"):
        return Path(str(array.filename))
    path = Path(copies.enter_context(tempfile.TemporaryDirectory(prefix="augment-"))) / "tiles.npy"
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    disk.write(path, content.getbuffer(), durable=False)
    return path


# ---- Inside a process -----------------------------------------------------------------------------------------------


def _begin(images: Path, masks: Path, augment: AugmentSettings) -> None:
    global _made
    start_worker()
    cv2.setNumThreads(1)
    tiles = [np.load(path, mmap_mode="r", allow_pickle=False) for path in (images, masks)]
    _made = partial(Augmenter(augment).views, *tiles)


def _views(chosen: np.ndarray, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    return _made(chosen, seed, epoch)


_made: Callable[[np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]
"""``Augmenter.views`` with the tiles, once the process has begun."""
