"""Kinds of masks."""

from __future__ import annotations

import numpy as np

from pipeline.data.mask_kinds import TINY, mask_kinds


def masks(count: int) -> np.ndarray:
    return np.zeros((count, 12, 10), np.uint8)


def test_empty_full_and_bands() -> None:
    some = masks(4)
    some[1] = 1
    some[2, :, 2:4] = 1
    some[3, 5:8] = 1
    found = mask_kinds(some)
    assert found["area"].tolist() == [0, 120, 24, 30]
    assert found["empty"].tolist() == [True, False, False, False]
    assert found["full"].tolist() == [False, True, False, False]
    assert found["vertical"].tolist() == [False, False, True, False]
    assert found["horizontal"].tolist() == [False, False, False, True]


def test_a_tiny_mask_has_salt_but_little() -> None:
    some = masks(4)
    some[1, 0, 0] = 1
    some[2].flat[: TINY - 1] = 1
    some[3].flat[:TINY] = 1
    assert mask_kinds(some)["tiny"].tolist() == [False, True, True, False]


def test_where_the_salt_lies() -> None:
    some = masks(7)
    some[1, 4:6, 4:6] = 1
    some[2, 4, 0] = some[3, 4, -1] = some[4, 0, 4] = some[5, -1, 4] = 1
    some[6, -1, -1] = 1
    assert mask_kinds(some)["place"].tolist() == ["", "inside", *["border"] * 4, "corner"]
    corners = masks(4)
    for mask, (row, column) in zip(corners, [(0, 0), (0, -1), (-1, 0), (-1, -1)], strict=True):
        mask[row, column] = 1
    assert mask_kinds(corners)["place"].tolist() == ["corner"] * 4


def test_parts_that_touch_at_a_corner_are_one() -> None:
    some = masks(4)
    some[1, 2:4, 2:4] = some[1, 4:6, 4:6] = 1
    some[2, 2:4, 2:4] = some[2, 5:6, 4:6] = 1
    some[3] = 1
    found = mask_kinds(some)
    assert found["parts"].tolist() == [0, 1, 2, 1]
    assert found["holes"].tolist() == [0, 0, 0, 0]


def test_background_that_reaches_the_border_is_no_hole() -> None:
    ring = masks(3)
    ring[:, 2:9, 2:9] = 1
    ring[0, 4:6, 4:6] = 0
    ring[1, 2:6, 4:6] = 0
    # Salt across the tile cuts the background in two, and both halves reach the border.
    ring[2] = 0
    ring[2, 5] = 1
    assert mask_kinds(ring)["holes"].tolist() == [1, 0, 0]
    assert mask_kinds(ring)["parts"].tolist() == [1, 1, 1]


def test_holes_that_touch_at_a_corner_are_two() -> None:
    mask = masks(1)
    mask[0, 1:9, 1:9] = 1
    mask[0, 3, 3] = mask[0, 4, 4] = 0
    assert mask_kinds(mask)["holes"].tolist() == [2]


def test_the_masks_are_not_changed_and_none_are_needed() -> None:
    some = masks(2)
    some.setflags(write=False)
    assert len(mask_kinds(some)) == 2
    assert len(mask_kinds(masks(0))) == 0
