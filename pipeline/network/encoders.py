"""Contracting paths other than the U-Net's own: they give the features that the expansive path takes up.

Each takes an image and returns its features from fine to coarse, the last of them the bottom: every one has half the
height and width of the one before it.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import keras
import msgspec
import numpy as np

from pipeline.config import NetworkSettings, UserError
from pipeline.config.geometry import RESNET34, STRIDES
from pipeline.network.blocks import Blocks, Tensor


def to_be_read_in(settings: NetworkSettings) -> NetworkSettings:
    """Settings of the same layers for a network whose trained weights are read from a file: nothing is fetched first.

    Only the first EfficientNets are other layers when they start from ImageNet: Keras rescales their inputs once more
    then. They have to start from it again, so that the file fits.
    """
    if settings.weights == "imagenet" and settings.encoder.startswith("EfficientNetB"):
        return settings
    return msgspec.structs.replace(settings, weights="none")


def resnet(
    parts: Blocks, settings: NetworkSettings, x: Tensor, finest: list[Tensor], widths: list[int]
) -> list[Tensor]:
    """The stages of a ResNet-34 behind its stem; with squeeze and excitation in each block where asked for.

    Args:
        parts: makes convolutions and blocks.
        settings: ``encoder``, ``levels``, ``dropout``.
        x: (batch, h, w, c), what the stem leaves.
        finest: features that the stem leaves beside it, finer than ``x``.
        widths: channels of each level.

    Returns:
        ``levels + 1`` features, (batch, h / 2**k, w / 2**k, width of the stage).
    """
    features = list(finest)
    squeezed = settings.encoder == "se_resnet34"
    for stage in range(settings.levels + 1 - len(finest)):
        width = widths[len(features)]
        for number in range(RESNET34[stage]):
            stride = 2 if stage and not number else 1  # the first block of a stage halves the image
            x = parts.residual(x, width, f"stage{stage + 1}_block{number + 1}", stride=stride, squeezed=squeezed)
        features.append(x)
        if stage < settings.levels - len(finest):
            x = parts.dropout(x, settings.dropout, stage, f"stage{stage + 1}_dropout")
    return features


def application(parts: Blocks, settings: NetworkSettings, image: Tensor, extras: Tensor | None) -> list[Tensor]:
    """A backbone of ``keras.applications``, tapped at every stride.

    Weights made for photographs expect three channels, prepared in the way that the backbone was trained with: the grey
    values stand in for all three, and other channels, where there are any, take the place of the last ones.

    Args:
        parts: makes convolutions.
        settings: ``encoder`` names the backbone, ``weights`` what it starts from, ``levels`` how deep it is used.
        image: (batch, side, side, 1) grey values in 0..255.
        extras: (batch, side, side, 1 or 2) what the network sees beside them, around 0; or None.

    Returns:
        ``levels + 1`` features at strides 2, 4, 8 ..., whatever number of channels the backbone has there.

    Raises:
        UserError: the weights are not to be had, or are those of another network; or the image is too small for it.
    """
    make = getattr(keras.applications, settings.encoder)
    scale, offset = _preparation(make)
    seen = [image] * 3
    if extras is not None:
        # As if they were grey values, since backbones differ in what they make of those, and where.
        as_grey = keras.layers.Rescaling(64.0, offset=128.0, name="extras")(extras)
        seen = [*seen[: 3 - extras.shape[-1]], as_grey]
    three = keras.layers.Concatenate(name="three_channels")(seen)
    three = keras.layers.Rescaling(scale, offset=offset, name="prepared")(three)
    start = None if settings.weights == "none" else settings.weights
    try:
        with warnings.catch_warnings():
            # Some say that their weights are those for 224 pixels, which no convolution minds.
            warnings.simplefilter("ignore", UserWarning)
            backbone = make(include_top=False, weights=start, input_tensor=three)
    except Exception as error:  # Keras has no error of its own for a download or a file that fails
        reason = " ".join(str(error).split())[:160]
        if start is None:  # unpadded convolutions may leave nothing of a small image
            raise UserError(
                f"network.encoder = {settings.encoder} cannot be made for input.size = {image.shape[1]} ({reason}); "
                "try a larger input.size, or another encoder"
            ) from None
        raise UserError(
            f"network.weights = {start}: {settings.encoder} cannot start from it ({reason}); "
            "check the file or the internet, or take network.weights = none"
        ) from None
    side = image.shape[1]
    finest: dict[int, Tensor] = {}
    for layer in backbone.layers:
        shape: tuple[Any, ...] = getattr(layer.output, "shape", ())
        if len(shape) != 4:
            continue
        halvings = _halvings(side, shape[1])
        if halvings:
            finest[halvings] = layer.output
    if 1 not in finest:  # ConvNeXt begins with patches of four pixels and has nothing finer
        finest[1] = parts.convolution(three, settings.width, "encoder1", kernel=5, stride=2)
    features = []
    for halvings in range(1, settings.levels + 2):
        if halvings not in finest:
            raise UserError(
                f"input.size = {side}: {settings.encoder} leaves nothing there at a stride of {2**halvings}; "
                "take a larger input.size, or fewer network.levels"
            )
        x = finest[halvings]
        features.append(_padded(x, side // 2**halvings, f"encoder{halvings}_padded"))
    return features


def _halvings(side: int, found: int) -> int:
    """How often an image of ``side`` pixels was halved to ``found``; 0 where it was not, or not in that way."""
    for halvings in range(1, STRIDES + 1):
        if found in (side // 2**halvings, -(-side // 2**halvings)):
            return halvings
    # Unpadded convolutions lose a few pixels on the way; a layer that pads for the next one gains some.
    for halvings in range(1, STRIDES + 1):
        if 0 <= side // 2**halvings - found <= 2 + side // 2**halvings // 8:
            return halvings
    return 0


def _preparation(make: Any) -> tuple[list[float], list[float]]:
    """Scale and offset of each channel that a backbone's own ``preprocess_input`` amounts to, for grey values.

    It is linear in each channel, so that black and white tell all of it. For grey it does not matter that some swap red
    and blue.
    """
    prepare = sys.modules[make.__module__].preprocess_input
    black, white = (np.asarray(prepare(np.full((1, 1, 1, 3), value, np.float32)))[0, 0, 0] for value in (0.0, 255.0))
    return [float(each) for each in (white - black) / 255], [float(each) for each in black]


def _padded(x: Tensor, side: int, name: str) -> Tensor:
    missing = side - x.shape[1]
    if not missing:
        return x
    sides = (missing // 2, missing - missing // 2)
    return keras.layers.ZeroPadding2D((sides, sides), name=name)(x)
