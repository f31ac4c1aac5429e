"""The U-Net, line by line.

Ronneberger, Fischer and Brox 2015, https://arxiv.org/abs/1505.04597. A contracting path sees ever more of the image
in ever less detail; an expansive path brings the answer back to every pixel; skips hand over the detail that the
contracting path had at the same size. With plain settings this is the network of the paper and of the articles that
explain it; residual blocks, norms and a stem of stride 2 are what later winners of competitions added.
"""

from __future__ import annotations

import keras

from pipeline.config import NetworkSettings, UserError
from pipeline.nn.blocks import Blocks, join

STEM_CHANNELS = 16
"""Channels at full resolution, behind a stem of stride 2."""


def build_unet(settings: NetworkSettings, size: int, channels: int = 1, seed: int = 0) -> keras.Model:
    """The network of an experiment, with fresh weights.

    Args:
        settings: width, depth, blocks, dropout, norm and so on.
        size: side of the input in pixels; ``output_size`` tells whether it fits.
        channels: of the input, 1 for grey tiles.
        seed: of initial weights and dropout; the same seed gives the same weights on one backend.

    Returns:
        A functional model: (batch, size, size, channels) float32 grey values in 0..255 -> logits (batch, out, out, 1)
        float32, where out is ``output_size(settings, size)``. Logits, not probabilities: the stable form of
        cross-entropy and the Lovász hinge both want them.

    Raises:
        UserError: the size does not fit the network.

    Example:
        >>> build_unet(NetworkSettings(), 112).output_shape
        (None, 112, 112, 1)
    """
    output_size(settings, size)
    parts = Blocks(settings, seed)
    widths = level_widths(settings)

    # ---- Input: grey values around 0 for a network with norms, in 0..1 as in the classic kernels otherwise ---------
    image = keras.Input((size, size, channels), name="image")  # (batch, size, size, channels)
    scale, offset = (1 / 255, 0.0) if settings.norm == "none" else (1 / 64, -2.0)
    x = scaled = keras.layers.Rescaling(scale, offset=offset, name="scaled")(image)

    # ---- Stem: a quarter of the pixels, and so of the work, from here to the end of the expansive path -------------
    if settings.stem == "stride2":
        x = parts.convolution(x, settings.width, "stem", kernel=5, stride=2)  # (batch, size / 2, size / 2, width)

    # ---- Contracting path: convolution, convolution, max-pooling, dropout ------------------------------------------
    skips = []
    for level in range(settings.levels):
        for number in range(settings.blocks):
            x = parts.block(x, widths[level], _name(f"down{level + 1}", number, settings.blocks))
        skips.append(x)
        x = keras.layers.MaxPooling2D(2, name=f"down{level + 1}_pool")(x)  # half the height and width
        x = parts.dropout(x, settings.dropout, level, f"down{level + 1}_dropout")

    # ---- Bottom: the smallest image, the most channels --------------------------------------------------------------
    for number in range(settings.blocks):
        x = parts.block(x, widths[-1], _name("bottom", number, settings.blocks))

    # ---- Expansive path: transposed convolution, concatenation with the skip, convolution, convolution -------------
    for level in reversed(range(settings.levels)):
        name = f"up{level + 1}"
        x = parts.upsample(x, widths[level], f"{name}_upsample")  # twice the height and width
        x = join(x, skips[level], name)
        x = parts.dropout(x, settings.dropout_up, settings.levels - 1 - level, f"{name}_dropout")
        if settings.residual:
            # A residual block adds to its input, so the two halves are first merged to the level's width.
            x = parts.convolution(x, widths[level], f"{name}_merge")
        x = parts.block(x, widths[level], name)

    # ---- Back to full resolution, with the image itself as the last skip -------------------------------------------
    if settings.stem == "stride2":
        x = keras.layers.Conv2DTranspose(
            STEM_CHANNELS, 2, strides=2, padding="same", kernel_initializer=parts.initializer(), name="full_upsample"
        )(x)
        x = parts.normed_relu(x, "full_upsample")
        x = join(x, scaled, "full")
        x = parts.convolution(x, STEM_CHANNELS, "full_conv")

    # ---- A 1x1 convolution: one logit for each pixel, in float32 even where the rest computes in half precision ----
    logits = keras.layers.Conv2D(1, 1, kernel_initializer=parts.initializer(), dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="unet")


def level_widths(settings: NetworkSettings) -> list[int]:
    """Channels of each level, the bottom last: doubled from level to level, up to ``width_max``."""
    return [
        min(settings.width * 2**level, max(settings.width_max, settings.width)) for level in range(settings.levels + 1)
    ]


def output_size(settings: NetworkSettings, size: int) -> int:
    """Side of the network's answer for an input of this side, in pixels.

    Raises:
        UserError: the image cannot be halved that often; the nearest sizes that work are named.
    """
    found = _trace(settings, size)
    if found is None:
        near = sorted(
            (other for other in range(16, 1025) if _trace(settings, other)), key=lambda other: abs(other - size)
        )
        hint = " or ".join(str(each) for each in sorted(near[:2])) or "fewer network.levels"
        raise UserError(f"input.size = {size} does not fit a network of {settings.levels} levels; take {hint}")
    return found


def _trace(settings: NetworkSettings, size: int) -> int | None:
    """The side after the whole network, without building it; None where the size does not fit."""
    lost = 2 if settings.padding == "valid" else 0  # pixels that one 3x3 convolution takes away
    if settings.stem == "stride2":
        if size % 2:
            return None
        size //= 2
    for _ in range(settings.levels):
        size -= 2 * lost * settings.blocks
        if size < 2 or size % 2:
            return None
        size //= 2
    size -= 2 * lost * settings.blocks
    for _ in range(settings.levels):
        size = 2 * size - lost * (3 if settings.residual else 2)
    if settings.stem == "stride2":
        size = 2 * size - lost
    return size if size > 0 else None


def _name(place: str, number: int, count: int) -> str:
    return place if count == 1 else f"{place}_block{number + 1}"
