"""Sides in pixels: of the tile, of what the network sees, and of what it answers.

Counted before any network is built and without a framework, so that settings that do not fit each other are refused at
once, not after a download.
"""

from __future__ import annotations

from typing import get_args

from pipeline.config import TILE, Application, InputSettings, NetworkSettings, Settings, UserError

RESNET34 = (3, 4, 6, 3)
"""Residual blocks of each stage (He et al. 2016, https://arxiv.org/abs/1512.03385, table 1)."""
APPLICATIONS = frozenset(get_args(Application))
STRIDES = 5
"""Halvings of a ``keras.applications`` backbone, its stem's among them."""


def check(settings: Settings) -> None:
    """Raise a UserError that says what to change where input and network do not fit each other."""
    inner_size(settings.input, output_size(settings.network, settings.input.size))


def inner_size(settings: InputSettings, output: int) -> int:
    """Side of the tile as the network sees it, in pixels.

    Args:
        settings: of the input.
        output: side of the network's answer in pixels.

    Raises:
        UserError: the answer would not cover the tile, or the tile cannot be mirrored up to the input's size.
    """
    inner = TILE if settings.fit == "pad" else settings.resize or output
    if settings.fit == "pad" and settings.resize:
        raise UserError("input.resize goes with input.fit = resize; leave it out, or take that")
    if inner > output and settings.fit == "resize":
        raise UserError(
            f"input.resize = {settings.resize}: the network answers {output} pixels a side; take as many at most, or a "
            "larger input.size"
        )
    if settings.fit == "pad" and output < TILE:
        raise UserError(
            f"input.size = {settings.size}: the network answers {output} pixels a side, fewer than a tile's {TILE}; "
            "take a larger input.size, or input.fit = resize"
        )
    if settings.size - inner > 2 * (inner - 1):
        raise UserError(
            f"input.size = {settings.size}: a tile of {inner} pixels cannot be mirrored that far; take a smaller one"
        )
    return inner


def around(inner: int, size: int) -> tuple[int, int]:
    """Margins before and after ``inner`` pixels in the middle of ``size``."""
    return (size - inner) // 2, size - inner - (size - inner) // 2


def most_levels(settings: NetworkSettings) -> int:
    """Halvings behind the stem that an encoder can offer."""
    if settings.encoder == "unet":
        return 6
    if settings.encoder in APPLICATIONS:
        return STRIDES - 1
    return len(RESNET34) - 1 + (settings.stem == "stride4")


def output_size(settings: NetworkSettings, size: int) -> int:
    """Side of the network's answer for an input of this side, in pixels.

    Raises:
        UserError: the image cannot be halved that often; the nearest sizes that work are named. Or the settings do not
            fit each other.
    """
    _check(settings)
    found = _trace(settings, size)
    if found is None:
        near = sorted(
            (other for other in range(16, 1025) if _trace(settings, other)), key=lambda other: abs(other - size)
        )
        hint = " or ".join(str(each) for each in sorted(near[:2])) or "fewer network.levels"
        raise UserError(f"input.size = {size} does not fit a network of {settings.levels} levels; take {hint}")
    return found


def _check(settings: NetworkSettings) -> None:
    """Raise a UserError where settings do not fit each other."""
    encoder, most = settings.encoder, most_levels(settings)
    if settings.levels > most:
        raise UserError(
            f"network.levels = {settings.levels}: {encoder} behind network.stem = {settings.stem} has {most}; "
            f"take network.levels = {most}"
        )
    if settings.levels < 2 and settings.stem == "stride4":
        raise UserError("network.stem = stride4 takes the first level; take network.levels = 2 or more")
    if encoder in APPLICATIONS and settings.stem != "stride2":
        raise UserError(f"network.stem = {settings.stem}: {encoder} has a stem of its own; take network.stem = stride2")
    if encoder not in APPLICATIONS and settings.weights != "none":
        raise UserError(
            f"network.weights = {settings.weights}: only encoders of keras.applications start from weights, "
            f"{encoder} does not; take network.weights = none, or an encoder such as ResNet50"
        )
    padded = {
        "network.encoder": encoder != "unet",
        "network.hypercolumn": settings.hypercolumn,
        "network.deep_supervision": settings.deep_supervision > 0,
    }
    for name, wants in padded.items():
        if wants and settings.padding == "valid":
            raise UserError(f"network.padding = valid does not go with {name}; take network.padding = same")


def _trace(settings: NetworkSettings, size: int) -> int | None:
    """The side after the whole network, without building it; None where the size does not fit."""
    if settings.encoder != "unet":
        halvings = settings.levels + (settings.stem != "none")
        return size if size % 2**halvings == 0 else None
    lost = 2 if settings.padding == "valid" else 0  # pixels that one 3x3 convolution takes away
    if settings.stem != "none":
        if size % 2:
            return None
        size //= 2
    for level in range(settings.levels):
        if level or settings.stem != "stride4":  # whose first level is the stem alone
            size -= 2 * lost * settings.blocks
        if size < 2 or size % 2:
            return None
        size //= 2
    size -= 2 * lost * settings.blocks
    for _ in range(settings.levels):
        size = 2 * size - lost * (3 if settings.residual else 2)
    if settings.stem != "none":
        size = 2 * size - lost
    return size if size > 0 else None
