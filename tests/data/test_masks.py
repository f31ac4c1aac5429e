"""Properties of masks."""

from __future__ import annotations

import numpy as np

from pipeline.data.masks import is_vertical


def test_a_vertical_mask_has_columns_that_are_all_salt_and_columns_without() -> None:
    masks = np.zeros((4, 3, 5), np.uint8)
    masks[1, :, 2:4] = 1
    masks[2] = 1
    masks[3, :2, 2] = 1
    assert is_vertical(masks).tolist() == [False, True, False, False]
