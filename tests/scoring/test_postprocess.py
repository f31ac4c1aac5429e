"""What each post-processing rule does to a mask."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pipeline.scoring import chunks, postprocess
from pipeline.scoring.images import is_constant
from pipeline.scoring.postprocess import GATE_PIXELS

EIGHT = np.ones((3, 3))


def random_masks(count: int = 30) -> np.ndarray:
    """Masks full of holes and parts, up to their borders; the first is empty, the second full."""
    draw = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(draw.normal(size=(count, 40, 40)), (0, 1.5, 1.5))
    masks = noise > np.linspace(-0.2, 0.2, count)[:, None, None]
    masks[0], masks[1] = False, True
    return masks


def dropped(mask: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(mask, EIGHT)
    sizes = ndimage.sum(mask, labels, range(1, count + 1))
    return np.isin(labels, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())) if count else mask


def test_holes_are_filled_as_scipy_fills_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "CHUNK", 7)
    masks = random_masks()
    expected = np.stack([ndimage.binary_fill_holes(mask) for mask in masks])
    assert (expected != masks).any()
    np.testing.assert_array_equal(postprocess.fill_holes(masks), expected)


def test_parts_below_a_tenth_of_the_largest_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "CHUNK", 7)
    masks = random_masks()
    expected = np.stack([dropped(mask) for mask in masks])
    assert (expected != masks).any()
    np.testing.assert_array_equal(postprocess.drop_small_parts(masks), expected)
    assert not postprocess.drop_small_parts(np.zeros((0, 5, 5), bool)).size
    tenth = np.zeros((2, 12, 12), bool)
    tenth[:, 0, :10] = tenth[0, 5, 5] = True
    tenth[1, 0, 10] = tenth[1, 5, 5] = True  # a little less than a tenth
    assert postprocess.drop_small_parts(tenth).sum(axis=(1, 2)).tolist() == [11, 11]


def test_holes_are_filled_before_small_parts_are_dropped():
    # The ring has 36 pixels, and 100 once it is filled: the other part's 9 pixels are less than a tenth only then.
    mask = np.zeros((1, 20, 20), bool)
    mask[0, :10, :10] = mask[0, 12:15, 12:15] = True
    mask[0, 1:9, 1:9] = False
    for named in (("fill_holes", "drop_small_parts"), ("drop_small_parts", "fill_holes")):
        found = postprocess.shaped(mask, named)
        assert found[0, :10, :10].all()
        assert found.sum() == 100


def test_constant_images_and_faint_tiles_are_recognised():
    images = np.full((3, 10, 10), 7, np.uint8)
    images[1, 0, 0] = 8
    assert is_constant(images).tolist() == [True, False, True]
    probabilities = np.zeros((3, 10, 10), np.uint8)
    probabilities[0].flat[:GATE_PIXELS] = 210  # above 0.8
    probabilities[1].flat[: GATE_PIXELS - 1] = 255
    probabilities[2].flat[:50] = 204  # 0.8 itself
    assert postprocess.faint(probabilities, 0.8).tolist() == [False, True, True]
