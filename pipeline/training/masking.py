"""Batches of masked tiles, for pretraining."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipeline.config import TILE, PretrainSettings
from pipeline.data.input_transform import InputTransform

_ORDER, _MASK = 1, 2
"""Keep the random numbers of the order apart from those of masks and flips."""


@dataclass(frozen=True)
class TileImages:
    """Images of tiles, labelled or not. There is no place for masks.

    Attributes:
        images: (n, 101, 101) uint8 grey values, may be memory-mapped.
        depths: (n,) float32 in feet, for a network with a depth channel.
    """

    images: np.ndarray
    depths: np.ndarray | None = None


class MaskedBatches:
    """Batches of the epochs of a pretraining: tiles with masked blocks, and what they were before.

    Every random number is a function of seed, epoch and step, so that a resumed run continues with the same batches.
    The tiles come in a random order, each once before any of them comes again.

    Args:
        parts: tiles, for example the labelled ones and the test tiles.
        transform: between tile and network.
        settings: ``views``, ``block``, ``fraction``, ``batch_size``, ``seed``.
        epoch_views: views between two checkpoints, about.

    Attributes:
        batch: tiles of a step.
        epochs: number of epochs, each from one checkpoint to the next.
        steps: of all epochs together.

    Each item of ``ahead`` is ``(inputs, targets, weights)``: (batch, size, size, channels) float32 grey values in
    0..255, where masked blocks have the mean of their tile, and the depth in feet where ``parts`` have depths; (batch,
    output, output, 1) float32, the tile minus its mean, divided by its standard deviation; and (batch, output, output)
    float32, 1 where a pixel is masked.
    """

    def __init__(
        self, parts: Sequence[TileImages], transform: InputTransform, settings: PretrainSettings, epoch_views: int
    ) -> None:
        self._parts = [part for part in parts if len(part.images)]
        self._starts = np.cumsum([0, *(len(part.images) for part in self._parts)])
        self._transform, self._settings = transform, settings
        self.batch = min(settings.batch_size, settings.views)
        self.steps = settings.views // self.batch
        self.epochs = min(max(1, round(settings.views / epoch_views)), self.steps)
        self.start(0)

    def start(self, epoch: int) -> None:
        """Choose the epoch, counted from 0, that ``ahead`` and ``len`` are about."""
        self._epoch = epoch
        self._first = epoch * self.steps // self.epochs
        self._last = (epoch + 1) * self.steps // self.epochs
        self._rows = self._order(self._first * self.batch, self._last * self.batch)

    def __len__(self) -> int:
        """Steps of the epoch."""
        return self._last - self._first

    @property
    def total(self) -> int:
        """Views of all epochs together."""
        return self.steps * self.batch

    def views(self, step: int | None = None) -> int:
        """Views after a number of steps of the epoch, or at its end, with those of the epochs before."""
        return (self._last if step is None else self._first + step) * self.batch

    def ahead(self) -> Iterator[tuple[np.ndarray, ...]]:
        """The epoch's batches in order, each prepared by a thread while the one before it is used."""
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self.__getitem__, 0)
            for step in range(1, len(self)):
                batch, coming = coming.result(), pool.submit(self.__getitem__, step)
                yield batch
            yield coming.result()

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        """The batch of one step."""
        images, depths = self._tiles(self._rows[step * self.batch : (step + 1) * self.batch])
        draw = np.random.default_rng((self._settings.seed, _MASK, self._epoch, step))
        flipped = draw.random(len(images)) < 0.5
        images[flipped] = images[flipped, :, ::-1]
        masks = random_blocks(draw, len(images), self._settings.block, self._settings.fraction)
        means = images.mean(axis=(1, 2), keepdims=True)
        # A tile of one grey value has no deviation to divide by.
        deviations = np.maximum(images.std(axis=(1, 2), keepdims=True), 1.0)
        inputs = self._transform.to_input(np.where(masks, np.rint(means).astype(np.uint8), images), depths)
        targets = (self._cropped(self._transform.to_input(images)) - means[..., None]) / deviations[..., None]
        return inputs, targets.astype(np.float32), self._transform.to_target(masks)[..., 0]

    def _cropped(self, inputs: np.ndarray) -> np.ndarray:
        """The part of the network's input that its output shows."""
        side, margin = self._transform.output, self._transform.around_input[0] - self._transform.around_output[0]
        return inputs[:, margin : margin + side, margin : margin + side]

    def _order(self, first: int, last: int) -> np.ndarray:
        """Rows of the tiles that views ``first`` to ``last`` show, each pass over the tiles in an order of its own."""
        count = int(self._starts[-1])
        passes = [
            np.random.default_rng((self._settings.seed, _ORDER, number)).permutation(count)
            for number in range(first // count, (last - 1) // count + 1)
        ]
        return np.concatenate(passes)[first % count :][: last - first]

    def _tiles(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Images and depths of some rows, copied into memory."""
        images = np.empty((len(rows), TILE, TILE), np.uint8)
        depths = None if self._parts[0].depths is None else np.empty(len(rows), np.float32)
        for part, start in zip(self._parts, self._starts, strict=False):
            here = (rows >= start) & (rows < start + len(part.images))
            images[here] = part.images[rows[here] - start]
            if depths is not None and part.depths is not None:
                depths[here] = part.depths[rows[here] - start]
        return images, depths


def random_blocks(draw: np.random.Generator, count: int, block: int, fraction: float) -> np.ndarray:
    """Masks of square blocks, the same number in each tile.

    Args:
        draw: random numbers.
        count: of tiles.
        block: side of a block in pixels; the last block of a row may be cut off by the border.
        fraction: of the blocks that are masked: at least one, and not all.

    Returns:
        (count, 101, 101) uint8, 1 where a pixel is masked.
    """
    side = -(-TILE // block)
    masked = min(max(round(fraction * side**2), 1), side**2 - 1)
    ranks = draw.random((count, side**2)).argsort(axis=1).argsort(axis=1)
    grid = (ranks < masked).reshape(count, side, side)
    return grid.repeat(block, axis=1).repeat(block, axis=2)[:, :TILE, :TILE].astype(np.uint8)
