"""The U-Net, line by line.

Ronneberger, Fischer and Brox 2015, https://arxiv.org/abs/1505.04597. A contracting path sees ever more of the image
in ever less detail; an expansive path brings the answer back to every pixel; skips hand over the detail that the
contracting path had at the same size. With plain settings this is the network of the paper and of the articles that
explain it; residual blocks, norms, a stem of stride 2, encoders made for photographs, attention, hypercolumns, deep
supervision and a head for empty tiles are what later winners of competitions added.
"""

from __future__ import annotations

import keras

from pipeline.config import ExtraChannels, NetworkSettings
from pipeline.config.geometry import APPLICATIONS, output_size
from pipeline.network.blocks import Blocks, Coordinates, Gate, Tensor, join
from pipeline.network.encoders import application, resnet

STEM_CHANNELS = 16
"""Channels at full resolution, behind a stem of stride 2."""


def build_unet(settings: NetworkSettings, size: int, extra: ExtraChannels = "grey", seed: int = 0) -> keras.Model:
    """The network of an experiment, with fresh weights.

    Args:
        settings: width, depth, blocks, dropout, norm and so on.
        size: side of the input in pixels; ``output_size`` tells whether it fits.
        extra: what the network sees beside the grey values.
        seed: of initial weights and dropout; the same seed gives the same weights on one backend.

    Returns:
        A functional model: (batch, size, size, 1) float32 grey values in 0..255 -> logits (batch, out, out, 1)
        float32, where out is ``output_size(settings, size)``. Logits, not probabilities: the stable form of
        cross-entropy and the Lovász hinge both want them. With ``extra = "depth"`` the input has a second channel, the
        tile's depth in feet. With an empty-tile head or deep supervision the answer has further channels, which only
        the loss looks at (see ``losses.MultiOutputLoss``); the mask's logits are always the first.

    Raises:
        UserError: the size does not fit the network, or its settings do not fit each other.

    Example:
        >>> build_unet(NetworkSettings(), 112).output_shape
        (None, 112, 112, 1)
    """
    output_size(settings, size)
    parts = Blocks(settings, seed)
    widths = level_widths(settings)

    # ---- Input: grey values around 0 for a network with norms, in 0..1 as in the classic kernels otherwise ---------
    channels = 2 if extra == "depth" else 1
    image = keras.Input((size, size, channels), name="image")  # (batch, size, size, channels)
    grey, extras = _seen(image, extra)
    scale, offset = (1 / 255, 0.0) if settings.norm == "none" else (1 / 64, -2.0)
    x = scaled = keras.layers.Rescaling(scale, offset=offset, name="scaled")(grey)
    if extras is not None:
        x = scaled = keras.layers.Concatenate(name="with_extras")([scaled, extras])

    # ---- Stem: a quarter of the pixels, and so of the work, from here to the end of the expansive path -------------
    skips = []
    if settings.stem != "none" and settings.encoder not in APPLICATIONS:  # those have a stem of their own
        x = parts.convolution(x, settings.width, "stem", kernel=5, stride=2)  # (batch, size / 2, size / 2, width)
        if settings.stem == "stride4":
            skips.append(x)
            x = keras.layers.MaxPooling2D(2, name="stem_pool")(x)

    # ---- Contracting path: convolution, convolution, max-pooling, dropout ------------------------------------------
    if settings.encoder == "unet":
        for level in range(len(skips), settings.levels):
            for number in range(settings.blocks):
                x = parts.block(x, widths[level], _name(f"down{level + 1}", number, settings.blocks))
            skips.append(x)
            x = keras.layers.MaxPooling2D(2, name=f"down{level + 1}_pool")(x)  # half the height and width
            x = parts.dropout(x, settings.dropout, level, f"down{level + 1}_dropout")

        # ---- Bottom: the smallest image, the most channels ----------------------------------------------------------
        for number in range(settings.blocks):
            x = parts.block(x, widths[-1], _name("bottom", number, settings.blocks))
    elif settings.encoder in APPLICATIONS:
        *skips, x = application(parts, settings, grey, extras)
    else:
        *skips, x = resnet(parts, settings, x, skips, widths)
    bottom = x

    # ---- Expansive path: transposed convolution, concatenation with the skip, convolution, convolution -------------
    levels = []
    for level in reversed(range(settings.levels)):
        name = f"up{level + 1}"
        x = parts.upsample(x, widths[level], f"{name}_upsample")  # twice the height and width
        x = join(x, skips[level], name)
        x = parts.dropout(x, settings.dropout_up, settings.levels - 1 - level, f"{name}_dropout")
        if settings.residual:
            # A residual block adds to its input, so the two halves are first merged to the level's width.
            x = parts.convolution(x, widths[level], f"{name}_merge")
        x = parts.block(x, widths[level], name)
        x = parts.attention(x, name)
        levels.append(x)
    if settings.hypercolumn:
        x = _hypercolumn(parts, levels, widths[0])

    # ---- Back to full resolution, with the image itself as the last skip -------------------------------------------
    if settings.stem != "none":
        x = keras.layers.Conv2DTranspose(
            STEM_CHANNELS, 2, strides=2, padding="same", kernel_initializer=parts.initializer(), name="full_upsample"
        )(x)
        x = parts.normed_relu(x, "full_upsample")
        x = join(x, scaled, "full")
        x = parts.convolution(x, STEM_CHANNELS, "full_conv")

    # ---- A 1x1 convolution: one logit for each pixel, in float32 even where the rest computes in half precision ----
    logits = parts.logits(x, "logits")
    return keras.Model(image, _with_other_answers(parts, settings, logits, bottom, levels), name="unet")


def _seen(image: Tensor, extra: ExtraChannels) -> tuple[Tensor, Tensor | None]:
    """The grey values of an input, and around 0 what the network sees beside them, if anything."""
    if extra == "coordinates":
        return image, Coordinates(name="coordinates")(image)
    if extra == "depth":
        # Kaggle's depths go from 50 to 959 feet.
        depth = keras.layers.Rescaling(1 / 250, offset=-2.0, name="depth")(image[..., 1:])
        return image[..., :1], depth
    return image, None


def _hypercolumn(parts: Blocks, levels: list[Tensor], width: int) -> Tensor:
    """Every level of the expansive path at the size of the finest (Hariharan et al. 2015, https://arxiv.org/abs/1411.5752).

    Each is narrowed where it is still small, so that the last convolutions stay as cheap as they were.
    """
    *coarser, finest = levels
    columns = [finest]
    for number, x in enumerate(reversed(coarser), start=2):
        x = parts.convolution(x, width, f"column{number}", kernel=1)
        factor = finest.shape[1] // x.shape[1]
        columns.append(keras.layers.UpSampling2D(factor, interpolation="bilinear", name=f"column{number}_upsample")(x))
    return parts.convolution(keras.layers.Concatenate(name="columns")(columns), width, "columns_merge")


def _with_other_answers(
    parts: Blocks, settings: NetworkSettings, logits: Tensor, bottom: Tensor, levels: list[Tensor]
) -> Tensor:
    """The mask's logits, and as further channels the outputs that only the loss uses (see losses.MultiOutputLoss)."""
    side, answers = logits.shape[1], [logits]
    if settings.empty_head:
        tile = parts.tile_logit(bottom, "salt")  # (batch, 1, 1, 1)
        answers = [
            Gate(dtype="float32", name="gate")([logits, tile]),
            keras.layers.UpSampling2D(side, dtype="float32", name="salt_everywhere")(tile),
        ]
    if settings.deep_supervision:
        coarser = levels[:-1] if settings.stem == "none" else levels
        for number, x in enumerate(reversed(coarser), start=1):
            answers.append(
                keras.layers.UpSampling2D(
                    side // x.shape[1], interpolation="bilinear", dtype="float32", name=f"deep{number}"
                )(parts.logits(x, f"deep{number}_logits"))
            )
    return keras.layers.Concatenate(dtype="float32", name="answers")(answers) if len(answers) > 1 else logits


def level_widths(settings: NetworkSettings) -> list[int]:
    """Channels of each level, the bottom last: doubled from level to level, up to ``width_max``."""
    # Where the first level is the pooled stem, the second has as many, as in a ResNet.
    doublings = [max(level - (settings.stem == "stride4"), 0) for level in range(settings.levels + 1)]
    return [min(settings.width * 2**each, max(settings.width_max, settings.width)) for each in doublings]


def _name(place: str, number: int, count: int) -> str:
    return place if count == 1 else f"{place}_block{number + 1}"
