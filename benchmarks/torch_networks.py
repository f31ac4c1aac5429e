"""The networks of ``kernel`` and ``unet`` and the loss of ``unet`` in plain PyTorch, for comparison of speed.

Written from the Keras code of this project: as many parameters, the same shapes, the same loss. Import it only where
torch is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config import NetworkSettings
from pipeline.network.blocks import SQUEEZE_RATIO
from pipeline.network.heads import TILE_DROPOUT
from pipeline.network.unet import STEM_CHANNELS, level_widths


class KernelUNet(nn.Module):
    """The network of the experiment ``kernel``: (batch, 1, h, w) in 0..1 -> (batch, 1, h, w) logits."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        *widths, bottom = level_widths(settings)
        self.down = nn.ModuleList(_pair(before, after) for before, after in zip([1, *widths], widths, strict=False))
        self.bottom = _pair(widths[-1], bottom)
        self.rise = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)
            for before, after in zip([bottom, *widths[::-1]], widths[::-1], strict=False)
        )
        self.up = nn.ModuleList(_pair(2 * width, width) for width in widths[::-1])
        self.pool, self.first, self.rest = nn.MaxPool2d(2), nn.Dropout(0.25), nn.Dropout(0.5)
        self.logits = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level, block in enumerate(self.down):
            skips.append(block(x))
            x = (self.rest if level else self.first)(self.pool(skips[-1]))
        x = self.bottom(x)
        for rise, block, skip in zip(self.rise, self.up, reversed(skips), strict=True):
            x = block(self.rest(torch.cat([rise(x), skip], 1)))
        return self.logits(x)


class DefaultUNet(nn.Module):
    """The network of the experiment ``unet``.

    (batch, 1, h, w) around 0 -> (batch, 2 + levels, h, w): the logits of the mask, of the tile, and of each coarser
    level of the expansive path, fine to coarse.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        *widths, bottom = level_widths(settings)
        self.stem = _Convolution(1, widths[0], kernel=5, stride=2)
        self.down = nn.ModuleList(
            _blocks(before, after, settings.blocks) for before, after in zip([widths[0], *widths], widths, strict=False)
        )
        self.bottom = _blocks(widths[-1], bottom, settings.blocks)
        self.rise, self.up = nn.ModuleList(), nn.ModuleList()
        for before, width in zip([bottom, *widths[::-1]], widths[::-1], strict=False):
            self.rise.append(nn.ConvTranspose2d(before, width, 2, stride=2))
            self.up.append(nn.Sequential(_Convolution(2 * width, width), _Residual(width, width), _Attention(width)))
        self.columns = nn.ModuleList(_Convolution(width, widths[0], kernel=1) for width in widths[1:])
        self.merge = _Convolution(len(widths) * widths[0], widths[0])
        self.full = nn.Sequential(
            nn.ConvTranspose2d(widths[0], STEM_CHANNELS, 2, stride=2), _norm(STEM_CHANNELS), nn.ReLU()
        )
        self.last = _Convolution(STEM_CHANNELS + 1, STEM_CHANNELS)
        self.logits = nn.Conv2d(STEM_CHANNELS, 1, 1)
        self.tile = nn.Sequential(nn.Dropout(TILE_DROPOUT), nn.Linear(bottom, 1))
        self.deep = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)
        self.pool, self.dropout = nn.MaxPool2d(2), nn.Dropout2d(settings.dropout[0])

    def forward(self, image: Tensor) -> Tensor:
        x, skips = self.stem(image), []
        for block in self.down:
            skips.append(block(x))
            x = self.dropout(self.pool(skips[-1]))
        x = bottom = self.bottom(x)
        levels: list[Tensor] = []
        for rise, block, skip in zip(self.rise, self.up, reversed(skips), strict=True):
            x = block(self.dropout(torch.cat([rise(x), skip], 1)))
            levels.insert(0, x)
        columns = [
            _enlarged(column(level), 2 ** (number + 1))
            for number, (column, level) in enumerate(zip(self.columns, levels[1:], strict=True))
        ]
        x = self.merge(torch.cat([levels[0], *columns], 1))
        logits = self.logits(self.last(torch.cat([self.full(x), image], 1)))
        tile = self.tile(bottom.mean((2, 3)))[:, :, None, None]
        if not self.training:
            logits = logits + tile.clamp(max=0)
        deep = [
            _enlarged(convolution(level), 2 ** (number + 1))
            for number, (convolution, level) in enumerate(zip(self.deep, levels, strict=True))
        ]
        return torch.cat([logits, tile.expand_as(logits), *deep], 1)


Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A network's output and the truth, (batch, channels, h, w) and (batch, 1, h, w) -> scalar."""


def kernel_loss() -> Loss:
    """Binary cross-entropy."""
    return lambda outputs, truth: functional.binary_cross_entropy_with_logits(outputs.float(), truth)


def default_loss(settings: NetworkSettings) -> Loss:
    """The loss ``bce_symmetric_lovasz`` with the auxiliary losses of ``unet``."""

    def loss(outputs: Tensor, truth: Tensor) -> Tensor:
        outputs = outputs.float()
        total = _mask_loss(outputs[:, 0], truth[:, 0])
        salt = truth.amax((1, 2, 3))
        tile = functional.binary_cross_entropy_with_logits(outputs[:, 1].mean((1, 2)), salt)
        total = total + settings.empty_head * tile
        for number in range(1, outputs.shape[1] - 1):
            step = 2**number
            level = _mask_loss(outputs[:, number + 1, ::step, ::step], truth[:, 0, ::step, ::step])
            total = total + settings.deep_supervision * level
        return total

    return loss


def _mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Half the cross-entropy plus the symmetric Lovasz hinge with elu: (batch, h, w) -> scalar."""
    logits, truth = logits.flatten(1), truth.flatten(1)
    errors, order = (1 - logits * (2 * truth - 1)).sort(dim=1, descending=True)
    with torch.no_grad():
        truth_in_order = truth.gather(1, order)
        weights = (_jaccard_steps(truth_in_order) + _jaccard_steps(1 - truth_in_order)) / 2
    lovasz = ((functional.elu(errors) + 1) * weights).sum(1).mean()
    return 0.5 * functional.binary_cross_entropy_with_logits(logits, truth) + lovasz


def _jaccard_steps(truth: Tensor) -> Tensor:
    """What each pixel adds to the Jaccard loss if those before it are wrong: (batch, pixels) -> the same."""
    salt = truth.sum(1, keepdim=True)
    union = salt + (1 - truth).cumsum(1)
    jaccard = 1 - (salt - truth.cumsum(1)) / union.clamp(min=1e-6)
    return jaccard.diff(dim=1, prepend=torch.zeros_like(salt))


def _pair(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
    )


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)


def _enlarged(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear")


class _Convolution(nn.Sequential):
    """Convolution, norm and ReLU."""

    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1, activate: bool = True) -> None:
        layers: list[nn.Module] = [nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)]
        super().__init__(*layers, _norm(after), *([nn.ReLU()] if activate else []))


class _Residual(nn.Module):
    """Two convolutions whose output is added to the input."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if before == after else _Convolution(before, after, kernel=1, activate=False)
        self.pair = nn.Sequential(_Convolution(before, after), _Convolution(after, after, activate=False))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.pair(x) + self.shortcut(x))


def _blocks(before: int, after: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(after if number else before, after) for number in range(count)))


class _Attention(nn.Module):
    """Spatial and channel attention (scSE)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        fewer = max(channels // SQUEEZE_RATIO, 4)
        self.pixels = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.Sigmoid())
        self.channels = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, fewer, 1),
            nn.ReLU(),
            nn.Conv2d(fewer, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.pixels(x) + x * self.channels(x)
