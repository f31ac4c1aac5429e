"""Masked tiles: the share and the size of the blocks, what is filled in, and the order of the tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.config import InputSettings, PretrainSettings
from pipeline.data.input_transform import InputTransform
from pipeline.training.masking import MaskedBatches, TileImages, random_blocks
from tests.conftest import blobs

PADDED = InputTransform(InputSettings(fit="pad", size=112))
INSIDE = slice(PADDED.around_input[0], PADDED.around_input[0] + 101)


def batches(parts: list[TileImages], transform: InputTransform = PADDED, **settings: Any) -> MaskedBatches:
    return MaskedBatches(parts, transform, PretrainSettings(**settings), 40)


def numbered(count: int, first: int = 0) -> np.ndarray:
    """Tiles of one grey value, by which they are known again."""
    return np.broadcast_to(np.arange(first, first + count, dtype=np.uint8)[:, None, None], (count, 101, 101))


@pytest.mark.parametrize(("block", "fraction", "masked"), [(8, 0.5, 84), (8, 0.25, 42), (25, 0.001, 1), (50, 0.999, 8)])
def test_the_share_of_the_blocks_and_their_size(block: int, fraction: float, masked: int):
    found = random_blocks(np.random.default_rng(0), 5, block, fraction)
    assert found.shape == (5, 101, 101)
    assert found.dtype == np.uint8
    corners = found[:, ::block, ::block]
    assert (corners.sum(axis=(1, 2)) == masked).all(), "as many blocks in each tile"
    assert (found == corners.repeat(block, 1).repeat(block, 2)[:, :101, :101]).all(), "whole blocks"
    assert len({mask.tobytes() for mask in found}) > 1
    many = random_blocks(np.random.default_rng(0), 400, block, fraction)[:, ::block, ::block].mean(axis=0)
    assert (np.abs(many - masked / corners[0].size) < 0.13).all(), "every block is as likely as any other"


def test_masked_blocks_have_the_mean_and_the_rest_is_the_tile():
    images = blobs(6)[0]
    inputs, targets, weights = batches([TileImages(images)], views=6, batch_size=6)[0]
    assert inputs.shape == targets.shape == (6, 112, 112, 1)
    assert {each.dtype for each in (inputs, targets, weights)} == {np.dtype(np.float32)}
    assert {*np.unique(weights)} == {0.0, 1.0}
    either_way = {each.tobytes(): each for image in images for each in (image, image[:, ::-1])}
    flipped = 0
    for given, target, weight in zip(inputs[..., 0], targets[..., 0], weights, strict=True):
        tile = next(
            each
            for each in either_way.values()
            if (np.abs(each - given[INSIDE, INSIDE])[weight[INSIDE, INSIDE] == 0] == 0).all()
        )
        flipped += any(tile is each for each in [*either_way.values()][1::2])
        assert {*given[weight == 1]} == {np.rint(tile.mean())}
        np.testing.assert_allclose(target[INSIDE, INSIDE], (tile - tile.mean()) / tile.std(), rtol=1e-4, atol=1e-5)
    assert 0 < flipped < 6


def test_a_tile_of_one_grey_value_has_nothing_to_predict():
    _, targets, _ = batches([TileImages(numbered(4, 99))], views=4, batch_size=4)[0]
    assert not targets.any()


def test_each_tile_comes_once_before_any_comes_again():
    parts = [TileImages(numbered(7)), TileImages(numbered(0)), TileImages(numbered(3, 7))]
    shown = batches(parts, views=30, batch_size=5)
    seen = [int(tile) for _ in range(shown.epochs) for inputs, *_ in shown.ahead() for tile in inputs[:, 56, 56, 0]]
    assert len(seen) == 30
    orders = [seen[start : start + 10] for start in (0, 10, 20)]
    assert [sorted(order) for order in orders] == [[*range(10)]] * 3
    assert len({tuple(order) for order in orders}) == 3


def test_epochs_take_all_steps_and_are_the_same_at_each_start():
    shown, steps, ends = batches([TileImages(blobs(9)[0])], views=130, batch_size=4), 0, []
    assert (shown.epochs, shown.total) == (3, 128)
    for epoch in range(shown.epochs):
        shown.start(epoch)
        assert shown.views(0) == steps * 4
        steps += len(shown)
        ends.append(shown.views())
        one, again = [*shown.ahead()], batches([TileImages(blobs(9)[0])], views=130, batch_size=4)
        again.start(epoch)
        assert len(one) == len(shown)
        for mine, theirs in zip(one, again.ahead(), strict=True):
            assert all(map(np.array_equal, mine, theirs))
    assert (steps, ends[-1]) == (32, 128)
    other = batches([TileImages(blobs(9)[0])], views=130, batch_size=4, seed=1)
    assert not np.array_equal(other[0][0], batches([TileImages(blobs(9)[0])], views=130, batch_size=4)[0][0])


@pytest.mark.parametrize(
    "transform",
    [
        InputTransform(InputSettings(fit="resize", size=64)),
        InputTransform(InputSettings(fit="pad", size=160), 112),
    ],
)
def test_inputs_targets_and_masks_show_the_same_place(transform: InputTransform):
    images = blobs(6)[0]
    inputs, targets, weights = batches([TileImages(images)], transform, views=6, batch_size=6)[0]
    margin = (transform.size - transform.output) // 2
    inner = inputs[:, margin : margin + transform.output, margin : margin + transform.output, 0]
    assert weights.shape == inner.shape == targets.shape[:3]
    for given, target, weight in zip(inner, targets[..., 0], weights, strict=True):
        kept = weight == 0
        assert np.corrcoef(given[kept], target[kept])[0, 1] > 0.95
        assert np.median(np.abs(given[~kept] - np.median(given[~kept]))) < 1, "one grey value"


def test_a_depth_stays_with_its_tile():
    parts = [
        TileImages(numbered(3), np.array([0, 10, 20], np.float32)),
        TileImages(numbered(2, 3), np.array([30, 40], np.float32)),
    ]
    inputs, *_ = batches(parts, views=5, batch_size=5)[0]
    np.testing.assert_array_equal(inputs[:, 50, 50, 1], 10 * inputs[:, 50, 50, 0])
