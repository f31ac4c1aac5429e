"""Tiles that occur twice."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.data.duplicates import copies, near_duplicates, originals


@pytest.fixture
def images() -> np.ndarray:
    """Eight unrelated tiles, smooth enough to be recognised at a reduced size."""
    noise = np.random.default_rng(0).normal(size=(8, 101, 101)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(each, (0, 0), 6) for each in noise])
    return np.clip(128 + 400 * smooth, 0, 255).astype(np.uint8)


def test_a_copy_has_the_number_of_the_tile_that_occurs_first(images: np.ndarray) -> None:
    assert copies(images).tolist() == list(range(8))
    images[[3, 6]] = images[1]
    images[7] = images[1].T
    assert copies(images).tolist() == [0, 1, 2, 1, 4, 5, 1, 7]
    assert copies(images[:0]).tolist() == []


def test_a_tile_of_one_grey_value_is_no_copy(images: np.ndarray) -> None:
    images[[2, 5]] = 7
    images[6] = images[1]
    assert originals(images).tolist() == [0, 1, 2, 3, 4, 5, 1, 7]
    assert originals(images[:0]).tolist() == []


def test_a_tile_with_other_brightness_and_noise_is_a_near_duplicate(images: np.ndarray) -> None:
    assert near_duplicates(images).first.tolist() == []
    noise = np.random.default_rng(1).normal(0, 3, (101, 101))
    images[5] = np.clip(0.7 * images[2] + 20 + noise, 0, 255)
    images[6] = images[0]
    found = near_duplicates(images)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(0, 6), (2, 5)]
    assert found.correlation[0] == pytest.approx(1)
    expected = np.corrcoef(images[2].ravel(), images[5].ravel())[0, 1]
    assert found.correlation[1] == pytest.approx(expected)
    assert near_duplicates(images, expected + 1e-6).second.tolist() == [6]


def test_constant_tiles_are_no_near_duplicates(images: np.ndarray) -> None:
    images[[1, 4]] = 7
    assert near_duplicates(images).first.tolist() == []
    images[:] = 7
    assert near_duplicates(images).first.tolist() == []
    assert near_duplicates(images[:0]).first.tolist() == []
