"""Test-time augmentation: views of a tile, each with the inverse transform for the network's output.

A view places the tile in the network's input, and crops the tile's part from the output. No view loses a pixel of the
tile, so all views have equal weight at every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import keras
from keras import ops

from pipeline.config import UserError
from pipeline.config.geometry import around
from pipeline.data.input_transform import InputTransform

Tensor: TypeAlias = keras.KerasTensor

SHIFT = 3
"""Pixels of ``shift``, at most the margin. The number is odd, so that each pooling combines other pixels."""
ENLARGE, SHRINK = 1.1, 0.9
"""Scale of the tile's side in ``zoom_in`` (at most the side of the network's output) and ``zoom_out``."""
GAMMA = 0.8
"""Exponent of ``brighter``; that of ``darker`` is its inverse."""


@dataclass(frozen=True)
class View:
    """One view of a tile.

    Attributes:
        inner: side of the tile before and after, in pixels.
        side: side of the tile in the network's input, in pixels.
        at_input: mirrored pixels before and after the tile, on both axes of the network's input.
        at_output: pixels before the tile in the network's output, on both axes.
        flipped: left and right are exchanged.
        gamma: exponent of the grey values, scaled to 0..1; below 1 is brighter.
    """

    inner: int
    side: int
    at_input: tuple[int, int]
    at_output: int
    flipped: bool = False
    gamma: float = 1.0

    def to_input(self, tiles: Tensor) -> Tensor:
        """(batch, inner, inner, 1) grey values in 0..255 -> (batch, size, size, 1), the network's input."""
        x = ops.flip(tiles, 2) if self.flipped else tiles
        if self.gamma != 1:
            x = 255 * ops.power(x / 255, self.gamma)
        if self.side != self.inner:
            x = ops.image.resize(x, (self.side, self.side), data_format="channels_last")
        if any(self.at_input):
            x = ops.pad(x, ((0, 0), self.at_input, self.at_input, (0, 0)), mode="reflect")
        return x

    def to_tile(self, logits: Tensor) -> Tensor:
        """(batch, output, output, 1) logits -> (batch, inner, inner) probabilities, float32."""
        begin, end = self.at_output, self.at_output + self.side
        x = ops.sigmoid(ops.cast(logits[:, begin:end, begin:end, 0], "float32"))
        if self.side != self.inner:
            x = ops.image.resize(x[..., None], (self.inner, self.inner), data_format="channels_last")[..., 0]
        return ops.flip(x, 2) if self.flipped else x


def make_views(names: Sequence[str], transform: InputTransform) -> list[View]:
    """The views with these names, for a network's input.

    Args:
        names: see ``config.ViewName``. ``plain`` is the tile itself; ``flip`` exchanges left and right; ``shift`` moves
            the tile into the mirrored margin; ``zoom_in`` enlarges it into the margin; ``zoom_out`` shrinks it and
            mirrors more around it; ``brighter`` and ``darker`` change gamma.
        transform: between tile and network.

    Raises:
        UserError: the margin around the tile is too small for a view, or too large to be mirrored.
    """
    views = [_make_view(name, transform) for name in names]
    for name, view in zip(names, views, strict=True):
        if max(view.at_input) > view.side - 1:
            raise UserError(
                f"predict.tta: {name} cannot mirror a tile as far as input.size = {transform.size} asks for"
            )
    return views


def _make_view(name: str, transform: InputTransform) -> View:
    plain = _centered(transform, transform.inner)
    margin = min(transform.around_output)
    if name in ("shift", "zoom_in") and margin < 1:
        raise UserError(
            f"predict.tta: {name} needs a mirrored margin around the tile, which input.fit = {transform.fit} with "
            f"input.size = {transform.size} does not leave; remove it, or take input.fit = pad with a larger input.size"
        )
    if name == "flip":
        return replace(plain, flipped=True)
    if name == "shift":
        step = min(SHIFT, margin)
        before, after = plain.at_input
        return replace(plain, at_input=(before + step, after - step), at_output=plain.at_output + step)
    if name == "zoom_in":
        return _centered(transform, min(round(transform.inner * ENLARGE), transform.output))
    if name == "zoom_out":
        return _centered(transform, round(transform.inner * SHRINK))
    return replace(plain, gamma={"plain": 1.0, "brighter": GAMMA, "darker": 1 / GAMMA}[name])


def _centered(transform: InputTransform, side: int) -> View:
    return View(transform.inner, side, around(side, transform.size), around(side, transform.output)[0])
