"""Other implementations for comparison, written here in the usual way, not copied."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def usual_search(probabilities: np.ndarray, truth: np.ndarray, thresholds: np.ndarray, areas: list[int]) -> float:
    """The best score, found as in most public kernels: a histogram for each tile, threshold and area.

    Args:
        probabilities: (n, 101, 101) uint8, v for v / 255.
        truth: (n, 101, 101) uint8 0/1.
        thresholds: of the probability.
        areas: smallest areas in pixels.
    """
    best = 0.0
    levels = np.arange(0.5, 1.0, 0.05)
    for threshold in thresholds:
        for area in areas:
            scores = []
            for chance, mask in zip(probabilities, truth, strict=True):
                predicted = chance / 255 > threshold
                if predicted.sum() < area:
                    predicted[:] = False
                if not mask.any() or not predicted.any():
                    scores.append(float(mask.any() == predicted.any()))
                    continue
                table, _, _ = np.histogram2d(
                    mask.ravel(), predicted.ravel().astype(np.uint8), bins=2, range=((0, 1), (0, 1))
                )
                iou = table[1, 1] / (table.sum() - table[0, 0])
                scores.append(float(np.mean([iou > level for level in levels])))
            best = max(best, float(np.mean(scores)))
    return best


def pycocotools() -> ModuleType | None:
    """pycocotools' module of run-length codes, where it is installed (make bench installs it)."""
    try:
        from pycocotools import mask
    except ImportError:
        return None
    return mask


def torch_unet(width: int) -> Any:
    """The kernel's U-Net in plain PyTorch, channels last; None where torch is not installed."""
    try:
        import torch
    except ImportError:
        return None
    from torch import nn

    def pair(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [width * 2**level for level in range(5)]
            self.down = nn.ModuleList(pair(a, b) for a, b in zip([1, *widths[:3]], widths[:4], strict=True))
            self.bottom = pair(widths[3], widths[4])
            self.rise = nn.ModuleList(
                nn.ConvTranspose2d(2 * each, each, 3, stride=2, padding=1, output_padding=1)
                for each in reversed(widths[:4])
            )
            self.up = nn.ModuleList(pair(2 * each, each) for each in reversed(widths[:4]))
            self.pool, self.first, self.rest = nn.MaxPool2d(2), nn.Dropout(0.25), nn.Dropout(0.5)
            self.answer = nn.Conv2d(width, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skips = []
            for level, block in enumerate(self.down):
                x = block(x)
                skips.append(x)
                x = (self.rest if level else self.first)(self.pool(x))
            x = self.bottom(x)
            for rise, block, skip in zip(self.rise, self.up, reversed(skips), strict=True):
                x = block(self.rest(torch.cat([rise(x), skip], 1)))
            return self.answer(x)

    return UNet().to(memory_format=torch.channels_last)
