"""The U-Net, line by line.

Ronneberger, Fischer and Brox 2015, https://arxiv.org/abs/1505.04597. The contracting path sees more and more of the
image in less and less detail; the expansive path returns to one output for each pixel; skips carry the detail of the
contracting path to the level of the same size. With plain settings this is the network of the paper and of the articles
that explain it (``classic`` has it without settings). Residual blocks, norms, a stem of stride 2, encoders pretrained
on photographs, attention, hypercolumns, deep supervision and the empty-tile head come from later competition winners.
"""

from __future__ import annotations

import keras

from pipeline.config import ExtraChannels, NetworkSettings
from pipeline.config.geometry import APPLICATIONS, output_size
from pipeline.network.blocks import concatenate_skip, plain_block, residual_block, scse
from pipeline.network.context import CONTEXTS
from pipeline.network.encoders.applications import application_encoder
from pipeline.network.encoders.resnet import resnet_encoder
from pipeline.network.heads import concatenate_tile, hypercolumn, tile_features, with_auxiliary_outputs
from pipeline.network.layer_factory import LayerFactory
from pipeline.network.layers import Coordinates, Tensor

STEM_CHANNELS = 16
"""Channels at full resolution, for a network with a stem of stride 2 or 4."""
TILE_CHANNELS = 64
"""Features of the whole tile, with ``empty_gate = "features"``."""


def build_unet(settings: NetworkSettings, size: int, extra: ExtraChannels = "grey", seed: int = 0) -> keras.Model:
    """Build the network of an experiment, with initial weights.

    Args:
        settings: width, depth, blocks, dropout, norm and so on.
        size: side of the input in pixels; ``output_size`` raises where it does not fit.
        extra: input channels besides the grey values.
        seed: of initial weights and dropout; the same seed gives the same weights on the same backend.

    Returns:
        A functional model: (batch, size, size, 1) float32 grey values in 0..255 -> logits (batch, out, out, 1)
        float32, where out is ``output_size(settings, size)``. Logits, not probabilities: the stable form of
        cross-entropy and the Lovász hinge both need them. With ``extra = "depth"`` the input has a second channel, the
        tile's depth in feet. With an empty-tile head or deep supervision the output has further channels, which only
        the loss reads (see ``losses.combined.MultiOutputLoss``); the mask's logits are always the first.

    Raises:
        UserError: the size does not fit the network, or its settings contradict each other.

    Example:
        >>> build_unet(NetworkSettings(empty_head=0, deep_supervision=0), 112).output_shape
        (None, 112, 112, 1)
    """
    output_size(settings, size)
    factory = LayerFactory(settings, seed)
    block = residual_block if settings.residual else plain_block
    widths = level_widths(settings)

    # ---- Input: grey values around 0 for a network with norms, in 0..1 as in the classic kernels otherwise ---------
    channels = 2 if extra == "depth" else 1
    image = keras.Input((size, size, channels), name="image")  # (batch, size, size, channels)
    grey, extras = _split_input(image, extra)
    scale, offset = (1 / 255, 0.0) if settings.norm == "none" else (1 / 64, -2.0)
    x = scaled = keras.layers.Rescaling(scale, offset=offset, name="scaled")(grey)
    if extras is not None:
        x = scaled = keras.layers.Concatenate(name="with_extras")([scaled, extras])

    # ---- Stem: a quarter of the pixels, and of the work, from here to the end of the expansive path ----------------
    skips = []
    if settings.stem != "none" and settings.encoder not in APPLICATIONS:  # those bring their own stem
        stem_width = settings.stem_width or settings.width
        x = factory.convolution(x, stem_width, "stem", kernel=5, stride=2)  # (batch, size / 2, size / 2, stem_width)
        if settings.stem == "stride4":
            skips = [x]
            x = keras.layers.MaxPooling2D(2, name="stem_pool")(x)

    # ---- Contracting path: convolution, convolution, max-pooling, dropout ------------------------------------------
    if settings.encoder == "unet":
        for level in range(len(skips), settings.levels):
            for number in range(settings.blocks):
                x = block(factory, x, widths[level], _name(f"down{level + 1}", number, settings.blocks))
            if settings.encoder_attention == "scse":
                x = scse(factory, x, f"down{level + 1}")
            skips.append(x)
            x = keras.layers.MaxPooling2D(2, name=f"down{level + 1}_pool")(x)  # half the height and width
            x = factory.dropout(x, settings.dropout, level, f"down{level + 1}_dropout")

        # ---- Bottom: the smallest image, the most channels ----------------------------------------------------------
        for number in range(settings.blocks):
            x = block(factory, x, widths[-1], _name("bottom", number, settings.blocks))
        if settings.encoder_attention == "scse":
            x = scse(factory, x, "bottom")
    elif settings.encoder in APPLICATIONS:
        *skips, x = application_encoder(factory, settings, grey, extras)
    else:
        *skips, x = resnet_encoder(factory, settings, x, skips, widths)
    if settings.context != "none":
        x = CONTEXTS[settings.context](factory, x)
    bottom = x

    # ---- Expansive path: transposed convolution, concatenation with the skip, convolution, convolution -------------
    levels = []
    for level in reversed(range(settings.levels)):
        name = f"up{level + 1}"
        x = factory.upsample(x, widths[level], f"{name}_upsample")  # twice the height and width
        x = concatenate_skip(x, skips[level], name)
        x = factory.dropout(x, settings.decoder_dropout, settings.levels - 1 - level, f"{name}_dropout")
        if settings.residual:
            # A residual block adds to its input, so the two halves are first reduced to the level's width.
            x = factory.convolution(x, widths[level], f"{name}_merge", kernel=settings.skip_kernel)
        x = block(factory, x, widths[level], name)
        if settings.attention == "scse":
            x = scse(factory, x, name)
        levels.append(x)
    if settings.hypercolumn:
        x = hypercolumn(factory, settings, levels, widths[0])

    # ---- Back to full resolution, with the image itself as the last skip -------------------------------------------
    has_stem = settings.stem != "none"
    full = has_stem and settings.full_resolution == "convolution"
    if full:
        x = keras.layers.Conv2DTranspose(
            STEM_CHANNELS, 2, strides=2, padding="same", kernel_initializer=factory.initializer(), name="full_upsample"
        )(x)
        x = factory.norm_relu(x, "full_upsample")
        x = concatenate_skip(x, scaled, "full")
    tile = None
    if settings.empty_head and settings.empty_gate == "features":
        tile = tile_features(factory, bottom, TILE_CHANNELS)
        x = concatenate_tile(x, tile)
    if full or tile is not None:
        x = factory.convolution(x, STEM_CHANNELS if full else widths[0], "full_conv")

    # ---- One logit for each pixel, in float32 even where the rest computes in half precision -----------------------
    # Without a convolution at full resolution, each feature of the stem's size computes a square of 2x2 logits.
    logits = factory.logits(x, "logits", upsample=2 if has_stem and not full else 1)
    return keras.Model(image, with_auxiliary_outputs(factory, settings, logits, bottom, levels, tile), name="unet")


def _split_input(image: Tensor, extra: ExtraChannels) -> tuple[Tensor, Tensor | None]:
    """The grey values, and the extra channels scaled to around 0, or None."""
    if extra == "coordinates":
        return image, Coordinates(name="coordinates")(image)
    if extra == "depth":
        # Kaggle's depths range from 50 to 959 feet.
        depth = keras.layers.Rescaling(1 / 250, offset=-2.0, name="depth")(image[..., 1:])
        return image[..., :1], depth
    return image, None


def level_widths(settings: NetworkSettings) -> list[int]:
    """Channels of each level, the bottom last: doubled at each level, up to ``width_max``."""
    # With a stem of stride 4 the first two levels have equally many, as in a ResNet.
    doublings = [max(level - (settings.stem == "stride4"), 0) for level in range(settings.levels + 1)]
    widths = [min(settings.width * 2**each, max(settings.width_max, settings.width)) for each in doublings]
    if settings.stem == "stride4" and settings.stem_width:
        widths[0] = settings.stem_width  # the first level is the stem alone
    return widths


def _name(place: str, number: int, count: int) -> str:
    """Name of a block: its place alone where there is one, numbered where there are several."""
    return place if count == 1 else f"{place}_block{number + 1}"
