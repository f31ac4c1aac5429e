"""Sides in pixels of the tile, the network's input and its output.

Computed from the settings alone, without a framework, so that sizes that do not fit are rejected before any work.
"""

from __future__ import annotations

import contextlib
from typing import get_args

import msgspec

from pipeline.config.errors import UserError
from pipeline.config.schema.base import TILE
from pipeline.config.schema.data import InputSettings
from pipeline.config.schema.network import Application, NetworkSettings
from pipeline.config.schema.settings import Settings

RESNET34 = (3, 4, 6, 3)
"""Residual blocks of each stage (He et al. 2016, https://arxiv.org/abs/1512.03385, table 1)."""
APPLICATIONS = frozenset(get_args(Application))
STRIDES = 5
"""Number of times that a ``keras.applications`` backbone halves the image, its stem included."""


def check(settings: Settings) -> None:
    """Check that input and network fit each other.

    Raises:
        UserError: they do not; the message names the setting to change.
    """
    _check_fit(settings.input)
    output = output_size(settings.network, settings.input.size, settings.input)
    inner_size(settings.input, output, settings.network)


def inner_size(settings: InputSettings, output: int, network: NetworkSettings | None = None) -> int:
    """Side of the tile as the network sees it, in pixels.

    Args:
        settings: section ``input``.
        output: side of the network's output in pixels.
        network: the network; where it is given, an error names the nearest sizes that it and the tile allow.

    Raises:
        UserError: the output would not cover the tile, or the tile cannot be mirrored up to the input's size.
    """
    _check_fit(settings)
    inner = TILE if settings.fit == "pad" else settings.resize or output
    if inner > output and settings.fit == "resize":
        raise UserError(
            f"input.resize = {settings.resize}: the network's output has {output} pixels per side; take at most as "
            "many, or a larger input.size"
        )
    if settings.fit == "pad" and output < TILE:
        hint = "a larger input.size"
        if network is not None:
            hint = _nearest_sizes(network, settings.size, settings) or "fewer network.levels"
        raise UserError(
            f"input.size = {settings.size}: the network's output has {output} pixels per side, fewer than a tile's "
            f"{TILE}; take {hint}, or input.fit = resize"
        )
    if settings.size - inner > 2 * (inner - 1):
        hint = "" if network is None else _nearest_sizes(network, settings.size, settings)
        raise UserError(
            f"input.size = {settings.size}: a tile of {inner} pixels cannot be mirrored that far; "
            f"take {hint or 'a smaller size'}"
        )
    return inner


def _check_fit(settings: InputSettings) -> None:
    if settings.fit == "pad" and settings.resize:
        raise UserError("input.resize needs input.fit = resize; set that, or remove input.resize")


def around(inner: int, size: int) -> tuple[int, int]:
    """Margins before and after ``inner`` pixels in the center of ``size`` pixels."""
    return (size - inner) // 2, size - inner - (size - inner) // 2


def most_levels(settings: NetworkSettings) -> int:
    """The largest ``network.levels`` of an encoder."""
    if settings.encoder == "unet":
        return 6
    if settings.encoder in APPLICATIONS:
        return STRIDES - 1
    return len(RESNET34) - 1 + (settings.stem == "stride4")


def output_size(settings: NetworkSettings, size: int, fitted: InputSettings | None = None) -> int:
    """Side of the network's output in pixels, for an input of ``size`` pixels.

    Args:
        settings: section ``network``.
        size: side of the input in pixels.
        fitted: section ``input``; where it is given, an error names only sizes that it allows as well.

    Raises:
        UserError: the image cannot be halved ``network.levels`` times (the message names the nearest sizes that can),
            or the settings contradict each other.
    """
    _check(settings)
    found = _trace(settings, size)
    if found is None:
        hint = _nearest_sizes(settings, size, fitted) or "fewer network.levels"
        raise UserError(f"input.size = {size} does not fit a network of {settings.levels} levels; take {hint}")
    return found


def _nearest_sizes(network: NetworkSettings, size: int, fitted: InputSettings | None) -> str:
    """The two sizes next to one that are allowed, for example ``112 or 128``; empty where none is."""

    def allowed(other: int) -> bool:
        output = _trace(network, other)
        if output is None or fitted is None:
            return output is not None
        with contextlib.suppress(UserError):
            return inner_size(msgspec.structs.replace(fitted, size=other), output) > 0
        return False

    near = sorted(filter(allowed, range(16, 1025)), key=lambda other: abs(other - size))
    return " or ".join(str(each) for each in sorted(near[:2]))


def _check(settings: NetworkSettings) -> None:
    """Raise a UserError where settings of the network contradict each other."""
    encoder, most = settings.encoder, most_levels(settings)
    if settings.levels > most:
        raise UserError(
            f"network.levels = {settings.levels}: {encoder} with network.stem = {settings.stem} has {most}; "
            f"take network.levels = {most}"
        )
    if settings.levels < 2 and settings.stem == "stride4":
        raise UserError("network.stem = stride4 takes the first level; take network.levels = 2 or more")
    if encoder in APPLICATIONS and settings.stem != "stride2":
        raise UserError(f"network.stem = {settings.stem}: {encoder} has its own stem; take network.stem = stride2")
    if settings.stem_width and (settings.stem == "none" or encoder in APPLICATIONS):
        where = "network.stem = none has no stem" if settings.stem == "none" else f"{encoder} has its own stem"
        raise UserError(f"network.stem_width = {settings.stem_width}: {where}; take network.stem_width = 0")
    if encoder not in APPLICATIONS and settings.weights != "none":
        raise UserError(
            f"network.weights = {settings.weights}: {encoder} is trained from scratch, only encoders of "
            "keras.applications load weights; take network.weights = none, or an encoder such as ResNet50"
        )
    padded = {
        "network.encoder": encoder != "unet",
        "network.hypercolumn": settings.hypercolumn,
        "network.deep_supervision": settings.deep_supervision > 0,
        "network.empty_gate": settings.empty_head > 0 and settings.empty_gate == "features",
    }
    for name, needs_padding in padded.items():
        if needs_padding and settings.padding == "valid":
            raise UserError(f"network.padding = valid cannot be combined with {name}; take network.padding = same")


def _trace(settings: NetworkSettings, size: int) -> int | None:
    """Side of the output, counted layer by layer; None where the size does not fit."""
    if settings.encoder != "unet":
        halvings = settings.levels + (settings.stem != "none")
        return size if size % 2**halvings == 0 else None
    lost = 2 if settings.padding == "valid" else 0  # pixels that one 3x3 convolution removes
    if settings.stem != "none":
        if size % 2:
            return None
        size //= 2
    for level in range(settings.levels):
        if level or settings.stem != "stride4":  # with stride4 the first level is the stem alone
            size -= 2 * lost * settings.blocks
        if size < 2 or size % 2:
            return None
        size //= 2
    size -= 2 * lost * settings.blocks
    for _ in range(settings.levels):
        joins = settings.residual and settings.skip_kernel == 3  # the convolution after the skip, before the block
        size = 2 * size - lost * (3 if joins else 2)
    if settings.stem != "none":
        size = 2 * size - (lost if settings.full_resolution == "convolution" else 0)
    return size if size > 0 else None
