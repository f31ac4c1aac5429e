"""Test-time augmentation: ways to look at a tile, each with the way back for what the network says to it.

A view puts the tile somewhere into the network's input, and takes the tile's part out of the answer again; none loses a
pixel of the tile, so that all of them count alike for every pixel.
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
"""Pixels of ``shift``, or as many as there are margins: an odd number, after which each pooling meets other pixels."""
ENLARGE, SHRINK = 1.1, 0.9
"""Side of a tile in ``zoom_in`` (no more than the network answers) and ``zoom_out``, as a share of its own."""
GAMMA = 0.8
"""Exponent of ``brighter``; that of ``darker`` is its inverse."""


@dataclass(frozen=True)
class View:
    """One way to look at a tile."""

    inner: int
    """Side of the tile before and after, in pixels."""
    side: int
    """Side of the tile within the network's input, in pixels."""
    at_input: tuple[int, int]
    """Mirrored pixels before and after the tile, on both axes of the network's input."""
    at_output: int
    """Pixels before the tile in the network's answer, on both axes."""
    flipped: bool = False
    """Left and right exchanged."""
    gamma: float = 1.0
    """Exponent of the grey values, taken as 0 to 1; below 1 is brighter."""

    def enter(self, tiles: Tensor) -> Tensor:
        """(batch, inner, inner, 1) grey values in 0..255 -> (batch, size, size, 1), the network's input."""
        x = ops.flip(tiles, 2) if self.flipped else tiles
        if self.gamma != 1:
            x = 255 * ops.power(x / 255, self.gamma)
        if self.side != self.inner:
            x = ops.image.resize(x, (self.side, self.side), data_format="channels_last")
        if any(self.at_input):
            x = ops.pad(x, ((0, 0), self.at_input, self.at_input, (0, 0)), mode="reflect")
        return x

    def leave(self, logits: Tensor) -> Tensor:
        """(batch, output, output, 1) logits -> (batch, inner, inner) probabilities, float32."""
        begin, end = self.at_output, self.at_output + self.side
        x = ops.sigmoid(ops.cast(logits[:, begin:end, begin:end, 0], "float32"))
        if self.side != self.inner:
            x = ops.image.resize(x[..., None], (self.inner, self.inner), data_format="channels_last")[..., 0]
        return ops.flip(x, 2) if self.flipped else x


def make_views(names: Sequence[str], transform: InputTransform) -> list[View]:
    """The views of these names with a network's fit.

    Args:
        names: of ``config.ViewName``: ``plain``; ``flip``, left and right exchanged; ``shift``, moved into the mirrored
            margin; ``zoom_in``, enlarged into the margin; ``zoom_out``, shrunk, with more mirrored around it;
            ``brighter`` and ``darker``, by gamma.
        transform: the fit.

    Raises:
        UserError: the input has no margin for a view, or too much.
    """
    found = [_make_view(name, transform) for name in names]
    for name, view in zip(names, found, strict=True):
        if max(view.at_input) > view.side - 1:
            raise UserError(
                f"predict.tta: {name} cannot mirror a tile as far as input.size = {transform.size} asks for"
            )
    return found


def _make_view(name: str, transform: InputTransform) -> View:
    plain = _centred(transform, transform.inner)
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
        return _centred(transform, min(round(transform.inner * ENLARGE), transform.output))
    if name == "zoom_out":
        return _centred(transform, round(transform.inner * SHRINK))
    return replace(plain, gamma={"plain": 1.0, "brighter": GAMMA, "darker": 1 / GAMMA}[name])


def _centred(transform: InputTransform, side: int) -> View:
    return View(transform.inner, side, around(side, transform.size), around(side, transform.output)[0])
