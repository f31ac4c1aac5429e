"""Backbones of ``keras.applications``, with or without pretrained weights."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import keras
import msgspec
import numpy as np

from pipeline.config import NetworkSettings, UserError
from pipeline.config.geometry import STRIDES
from pipeline.network.blocks import scse
from pipeline.network.layer_factory import LayerFactory
from pipeline.network.layers import Tensor


def without_pretrained_weights(settings: NetworkSettings) -> NetworkSettings:
    """Settings that build the same layers without downloading or reading the encoder's initial weights.

    For a network whose weights are loaded from a file of a fold right after. The first generation of EfficientNets
    (``EfficientNetB0`` to ``B7``) keeps ``imagenet``: Keras adds a second rescaling layer to them in that case, and the
    file of a fold has it too.
    """
    if settings.weights == "imagenet" and settings.encoder.startswith("EfficientNetB"):
        return settings
    return msgspec.structs.replace(settings, weights="none")


def application_encoder(
    factory: LayerFactory, settings: NetworkSettings, image: Tensor, extras: Tensor | None
) -> list[Tensor]:
    """A backbone of ``keras.applications`` and its features at each stride.

    Weights pretrained on photographs need three channels, scaled as in the backbone's training. The grey values fill
    all three; extra channels, if any, replace the last ones.

    Args:
        factory: of the network's layers.
        settings: ``encoder`` names the backbone, ``weights`` its initial weights, ``levels`` the depth that is used,
            ``encoder_attention`` whether its features pass through scSE.
        image: (batch, side, side, 1) grey values in 0..255.
        extras: (batch, side, side, 1 or 2) extra channels around 0, or None.

    Returns:
        ``levels + 1`` features at strides 2, 4, 8 ..., with as many channels as the backbone has there.

    Raises:
        UserError: the weights cannot be downloaded or read or do not fit, or the image is too small.
    """
    make = getattr(keras.applications, settings.encoder)
    prepared = _prepared_input(make, image, extras)
    backbone = _backbone(make, settings, prepared)
    finest = _features_by_halvings(backbone, image.shape[1])
    if 1 not in finest:  # ConvNeXt starts with patches of four pixels and has no finer features
        finest[1] = factory.convolution(prepared, settings.width, "encoder1", kernel=5, stride=2)
    return _at_each_stride(factory, finest, settings, image.shape[1])


def _prepared_input(make: Any, image: Tensor, extras: Tensor | None) -> Tensor:
    """Three channels as the backbone's ``preprocess_input`` would return them, (batch, side, side, 3)."""
    scale, offset = _preprocessing(make)
    channels = [image] * 3
    if extras is not None:
        # Scaled to grey values first, because each backbone scales those in its own way, some inside the network.
        as_grey = keras.layers.Rescaling(64.0, offset=128.0, name="extras")(extras)
        channels = [*channels[: 3 - extras.shape[-1]], as_grey]
    three = keras.layers.Concatenate(name="three_channels")(channels)
    return keras.layers.Rescaling(scale, offset=offset, name="prepared")(three)


def _preprocessing(make: Any) -> tuple[list[float], list[float]]:
    """Scale and offset for each channel that equal a backbone's ``preprocess_input`` for grey values.

    That function is linear in each channel, so its values at black and white determine it. Some backbones swap red and
    blue, which makes no difference for grey.
    """
    prepare = sys.modules[make.__module__].preprocess_input
    black, white = (np.asarray(prepare(np.full((1, 1, 1, 3), value, np.float32)))[0, 0, 0] for value in (0.0, 255.0))
    return [float(each) for each in (white - black) / 255], [float(each) for each in black]


def _backbone(make: Any, settings: NetworkSettings, prepared: Tensor) -> keras.Model:
    start = None if settings.weights == "none" else settings.weights
    try:
        with warnings.catch_warnings():
            # Some warn that their weights are for images of 224 pixels; convolutions work with any size.
            warnings.simplefilter("ignore", UserWarning)
            return make(include_top=False, weights=start, input_tensor=prepared)
    except Exception as error:  # Keras has no exception class for a download or a file that fails
        reason = " ".join(str(error).split())[:160]
        if start is None:  # unpadded convolutions can reduce a small image to nothing
            raise UserError(
                f"network.encoder = {settings.encoder} cannot be made for input.size = {prepared.shape[1]} ({reason}); "
                "try a larger input.size, or another encoder"
            ) from None
        raise UserError(
            f"network.weights = {start}: {settings.encoder} cannot start from it ({reason}); "
            "check the file or the internet, or take network.weights = none"
        ) from None


def _features_by_halvings(backbone: keras.Model, side: int) -> dict[int, Tensor]:
    """The last feature of each size, by how often the image of ``side`` pixels is halved there."""
    found: dict[int, Tensor] = {}
    for layer in backbone.layers:
        shape: tuple[Any, ...] = getattr(layer.output, "shape", ())
        if len(shape) != 4:
            continue
        if halvings := _halvings(side, shape[1]):
            found[halvings] = layer.output
    return found


def _halvings(side: int, found: int) -> int:
    """How often an image of ``side`` pixels was halved to ``found``; 0 if it was not."""
    for halvings in range(1, STRIDES + 1):
        if found in (side // 2**halvings, -(-side // 2**halvings)):
            return halvings
    # Unpadded convolutions lose a few pixels on the way; a layer that pads for the next one adds some.
    for halvings in range(1, STRIDES + 1):
        if 0 <= side // 2**halvings - found <= 2 + side // 2**halvings // 8:
            return halvings
    return 0


def _at_each_stride(
    factory: LayerFactory, finest: dict[int, Tensor], settings: NetworkSettings, side: int
) -> list[Tensor]:
    """The features that the expansive path needs, fine to coarse, padded to ``side / stride``."""
    features = []
    for halvings in range(1, settings.levels + 2):
        if halvings not in finest:
            raise UserError(
                f"input.size = {side}: {settings.encoder} has no features at a stride of {2**halvings} for it; "
                "take a larger input.size, or fewer network.levels"
            )
        x = _padded(finest[halvings], side // 2**halvings, f"encoder{halvings}_padded")
        features.append(scse(factory, x, f"encoder{halvings}") if settings.encoder_attention == "scse" else x)
    return features


def _padded(x: Tensor, side: int, name: str) -> Tensor:
    missing = side - x.shape[1]
    if not missing:
        return x
    sides = (missing // 2, missing - missing // 2)
    return keras.layers.ZeroPadding2D((sides, sides), name=name)(x)
