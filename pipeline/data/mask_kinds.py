"""Kinds of masks: empty, full, in bands, tiny, cut by the tile's border, in several parts, or with holes."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd

from pipeline.data.masks import is_vertical

TINY = 25
"""A mask with fewer pixels of salt, but at least one, is tiny."""


def mask_kinds(masks: np.ndarray) -> pd.DataFrame:
    """Describe each mask.

    Parts and holes are counted as ``pipeline.scoring.postprocess`` treats them: pixels of salt that touch at a corner
    are one part; a hole is background that is not connected with the tile's border, not even beyond a corner.

    Args:
        masks: (n, height, width) uint8 of 0 and 1, may be memory-mapped.

    Returns:
        n rows with the columns ``area`` (pixels of salt), ``empty``, ``full``, ``vertical`` and ``horizontal`` (bands
        of whole columns or rows), ``tiny`` (1 to ``TINY`` - 1 pixels), ``place`` ("corner" if a corner of the tile is
        salt, else "border" if another pixel of the border is, else "inside", or "" for an empty mask), ``parts`` and
        ``holes`` (numbers of them).
    """
    area = masks.sum(axis=(1, 2), dtype=np.int64)
    parts_holes = np.array([_parts_and_holes(mask) for mask in masks], np.int64).reshape(-1, 2)
    return pd.DataFrame(
        {
            "area": area,
            "empty": area == 0,
            "full": area == masks.shape[1] * masks.shape[2],
            "vertical": is_vertical(masks),
            "horizontal": is_vertical(masks.transpose(0, 2, 1)),
            "tiny": (area > 0) & (area < TINY),
            "place": _place(masks, area),
            "parts": parts_holes[:, 0],
            "holes": parts_holes[:, 1],
        }
    )


def _place(masks: np.ndarray, area: np.ndarray) -> np.ndarray:
    corner = masks[:, [0, 0, -1, -1], [0, -1, 0, -1]].any(axis=1)
    border = masks[:, [0, -1]].any(axis=(1, 2)) | masks[:, :, [0, -1]].any(axis=(1, 2))
    return np.select([area == 0, corner, border], ["", "corner", "border"], "inside")


def _parts_and_holes(mask: np.ndarray) -> tuple[int, int]:
    """Numbers of parts and of holes of one mask."""
    parts, _ = cv2.connectedComponents(np.ascontiguousarray(mask, np.uint8), connectivity=8)
    # Around the tile there is background, which holds the background at the border together.
    around = np.pad(mask == 0, 1, constant_values=True).astype(np.uint8)
    regions, _ = cv2.connectedComponents(around, connectivity=4)
    # Label 0 is what is not searched for; of the regions of background, one is the outside.
    return parts - 1, regions - 2
