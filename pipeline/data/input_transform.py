"""The transform between a 101x101 tile and the network's input, and back."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.config import TILE, InputSettings
from pipeline.config.geometry import around, inner_size


class InputTransform:
    """Fits 101x101 tiles to the network's input, and the network's output back to the tiles.

    Args:
        settings: ``pad`` mirrors the borders (the output is cropped), ``resize`` interpolates (and back), to ``size``
            or to a smaller side that is then mirrored.
        output: side of the network's output in pixels. It is smaller than the input for a network of unpadded
            convolutions, whose input is mirrored around the output's area (the overlap-tile strategy of Ronneberger
            et al. 2015, https://arxiv.org/abs/1505.04597).

    Raises:
        UserError: the output would not cover the tile.
    """

    def __init__(self, settings: InputSettings, output: int | None = None) -> None:
        self.fit, self.size = settings.fit, settings.size
        self.output = settings.size if output is None else output
        self.inner = inner_size(settings, self.output)
        """Side of the tile as the network sees it."""
        self.around_input = around(self.inner, self.size)
        """Pixels that are mirrored before and after the tile, on both axes."""
        self.around_output = around(self.inner, self.output)
        """Pixels of the network's output before and after the tile, on both axes."""

    def to_input(self, images: np.ndarray, depths: np.ndarray | None = None) -> np.ndarray:
        """Tiles as network input: (n, 101, 101) uint8 -> (n, size, size, 1) float32 in 0..255.

        With depths in feet, (n,) float32, a second channel holds the tile's depth at each pixel.
        """
        grey = self._resize_and_mirror(images, self.size, cv2.INTER_LINEAR)[..., None].astype(np.float32)
        if depths is None:
            return grey
        return np.concatenate([grey, np.broadcast_to(depths[:, None, None, None], grey.shape)], axis=-1)

    def to_target(self, masks: np.ndarray) -> np.ndarray:
        """Masks as network targets: (n, 101, 101) uint8 0/1 -> (n, output, output, 1) float32 0/1."""
        # Not INTER_NEAREST: it rounds to the corner of a pixel, which shifts the mask against the image.
        return self._resize_and_mirror(masks, self.output, cv2.INTER_NEAREST_EXACT)[..., None].astype(np.float32)

    def to_network(self, images: np.ndarray) -> np.ndarray:
        """Tiles before they are mirrored: (n, 101, 101) uint8 -> (n, inner, inner) uint8."""
        return _resize(images, self.inner, cv2.INTER_LINEAR)

    def from_network(self, probabilities: np.ndarray) -> np.ndarray:
        """Network output without margins as uint8 probabilities: (n, inner, inner) -> (n, 101, 101), 255 is 1.

        Args:
            probabilities: float32 probabilities in 0..1; uint8 is returned unchanged.
        """
        if probabilities.dtype == np.uint8:
            return probabilities
        return np.rint(self.to_tile(probabilities) * 255).astype(np.uint8)

    def to_tile(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities at the tile's size: (n, inner, inner) -> (n, 101, 101), both float32 in 0..1."""
        return _resize(probabilities, TILE, cv2.INTER_LINEAR)

    def _resize_and_mirror(self, tiles: np.ndarray, size: int, interpolation: int) -> np.ndarray:
        inner = _resize(tiles, self.inner, interpolation)
        margins = around(self.inner, size)
        return np.pad(inner, ((0, 0), margins, margins), mode="reflect")


def _resize(tiles: np.ndarray, side: int, interpolation: int) -> np.ndarray:
    if tiles.shape[1] == side:
        return tiles
    resized = [cv2.resize(tile, (side, side), interpolation=interpolation) for tile in tiles]
    return np.stack(resized) if resized else np.zeros((0, side, side), tiles.dtype)
