"""Tiles that were cut next to each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.data.mosaic import Axis, borders, find_pairs, match

COLUMNS = 4
"""Tiles per row of the cut picture; it has three rows."""


@pytest.fixture
def images() -> np.ndarray:
    """Twelve tiles of 61 x 61 pixels, cut without a gap from one smooth picture, row by row."""
    noise = np.random.default_rng(0).normal(size=(3 * 61, COLUMNS * 61)).astype(np.float32)
    picture = np.clip(128 + 300 * cv2.GaussianBlur(noise, (0, 0), 2.5), 0, 255).astype(np.uint8)
    return picture.reshape(3, 61, COLUMNS, 61).transpose(0, 2, 1, 3).reshape(-1, 61, 61).copy()


def as_set(images: np.ndarray, axis: Axis) -> set[tuple[int, int]]:
    found = find_pairs(images, axis)
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


BELOW = {(index, index + COLUMNS) for index in range(2 * COLUMNS)}
BESIDE = {(index, index + 1) for index in range(3 * COLUMNS) if (index + 1) % COLUMNS}


def test_all_neighbours_of_a_cut_picture_are_found(images: np.ndarray) -> None:
    assert as_set(images, "vertical") == BELOW
    assert as_set(images, "horizontal") == BESIDE


def test_the_order_of_the_tiles_does_not_matter(images: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(len(images))
    at = np.argsort(order)
    assert as_set(images[order], "vertical") == {(at[upper], at[lower]) for upper, lower in BELOW}


def test_a_tile_of_other_brightness_and_contrast_is_found(images: np.ndarray) -> None:
    images[5] = images[5] // 2 + 90
    assert as_set(images, "vertical") == BELOW
    assert as_set(images, "horizontal") == BESIDE


def test_the_most_certain_pair_comes_first_and_uncertain_ones_are_left_out(images: np.ndarray) -> None:
    found = find_pairs(images, "vertical")
    assert (np.diff(found.ratio) >= 0).all()
    assert found.ratio.dtype == np.float32
    assert 0 <= found.ratio[0] < found.ratio[-1] <= 0.3
    strict = find_pairs(images, "vertical", float(found.ratio[3]))
    assert strict.first.tolist() == found.first[:4].tolist()
    assert strict.second.tolist() == found.second[:4].tolist()


def test_tiles_with_a_gap_between_them_are_no_pairs(images: np.ndarray) -> None:
    shrunk = images[:, 6:-6, 6:-6]
    assert as_set(shrunk, "vertical") == set()
    assert as_set(shrunk, "horizontal") == set()


def test_of_a_tile_that_occurs_twice_no_pair_is_found(images: np.ndarray) -> None:
    twice = np.concatenate([images, images[4:5]])
    assert as_set(twice, "vertical") == {pair for pair in BELOW if 4 not in pair}


def test_two_borders_that_are_nearest_to_the_same_make_one_pair() -> None:
    draw = np.random.default_rng(2)
    upper = draw.normal(0, 40, (5, 61)).astype(np.float32)
    lower = upper + draw.normal(0, 1, upper.shape).astype(np.float32)
    lower = np.roll(lower, 1, axis=0)
    # Border 4 comes near to the neighbour of border 0, which is nearer to border 0.
    upper[4] = upper[0] + draw.normal(0, 10, 61)
    found = match(upper, lower)
    assert sorted(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_a_tile_is_not_its_own_neighbour(images: np.ndarray) -> None:
    lines = borders(images, "vertical")[0]
    assert all(first != second for first, second, _ in zip(*match(lines, lines, 1), strict=True))


def test_constant_tiles_are_left_out(images: np.ndarray) -> None:
    images[[0, 7]] = 30
    assert as_set(images, "vertical") == {pair for pair in BELOW if not {0, 7} & {*pair}}
    images[:] = 30
    assert as_set(images, "vertical") == set()
    assert as_set(images[:0], "horizontal") == set()


def test_grey_values_are_extrapolated_by_half_a_pixel() -> None:
    slope = np.arange(10, 50, 10, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    lower, upper = borders(slope, "vertical")
    assert lower.tolist() == [[45] * 3]
    assert upper.tolist() == [[5] * 3]
    right, left = borders(slope.transpose(0, 2, 1), "horizontal")
    assert right.tolist() == [[45] * 3]
    assert left.tolist() == [[5] * 3]
