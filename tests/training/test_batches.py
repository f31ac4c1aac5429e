"""Training batches: order and augmentation depend on seed and epoch only."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest

from pipeline.config import AugmentSettings, InputSettings
from pipeline.data.input_transform import InputTransform
from pipeline.training.batches import Batches
from pipeline.training.fold import LabelledTiles
from tests.conftest import blobs

TRANSFORM = InputTransform(InputSettings())
pytestmark = pytest.mark.backends


def make_batches(
    seed: int = 0, batch: int = 4, indices: np.ndarray | None = None, workers: int = 1, **augment: Any
) -> Batches:
    chosen = np.arange(10) if indices is None else indices
    return Batches(LabelledTiles(*blobs(12)), chosen, TRANSFORM, AugmentSettings(**augment), batch, seed, workers)


def all_images(batches: Batches) -> np.ndarray:
    return np.concatenate([batches[step][0] for step in range(len(batches))])


def test_shapes_and_the_last_smaller_batch_is_left_out():
    batches = make_batches()
    images, targets = batches[0]
    assert len(batches) == 2
    assert images.shape == targets.shape == (4, 112, 112, 1)
    assert images.dtype == targets.dtype == np.float32
    assert set(np.unique(targets)) <= {0.0, 1.0}


def test_the_same_seed_and_epoch_give_the_same_batches_in_any_order_of_access():
    one, other = make_batches(), make_batches()
    for batches in (one, other):
        batches.start(3)
    other[1]
    np.testing.assert_array_equal(all_images(one), all_images(other))
    other.start(0)
    assert not np.array_equal(all_images(one), all_images(other))
    assert not np.array_equal(all_images(make_batches(seed=1)), all_images(make_batches(seed=2)))


def test_every_tile_comes_at_most_once_per_epoch_and_all_come_over_epochs():
    batches = make_batches(flip=0, affine=0, grid=0, intensity=0)
    known = {tile.tobytes(): index for index, tile in enumerate(TRANSFORM.to_input(blobs(12)[0]))}
    seen: set[int] = set()
    for epoch in range(8):
        batches.start(epoch)
        found = [known[tile.tobytes()] for tile in all_images(batches)]
        assert len(set(found)) == 8
        seen |= set(found)
    assert seen == set(range(10))  # and no tile that is not in the indices


def test_other_tiles_replace_as_many():
    batches = make_batches(flip=0, affine=0, grid=0, intensity=0, batch=5)
    known = {tile.tobytes(): index for index, tile in enumerate(TRANSFORM.to_input(blobs(12)[0]))}
    seen: set[int] = set()
    for epoch in range(8):
        batches.start(epoch, others=np.array([10, 11]))
        found = [known[tile.tobytes()] for tile in all_images(batches)]
        assert len(set(found)) == 10
        assert {10, 11} <= set(found)
        seen |= set(found)
    assert seen == set(range(12))


def test_a_tile_is_augmented_differently_in_each_epoch():
    batches = make_batches(batch=1, indices=np.array([4]), intensity=1.0)
    first = batches[0][0]
    batches.start(1)
    assert not np.array_equal(first, batches[0][0])
    batches.start(0)
    np.testing.assert_array_equal(first, batches[0][0])


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_prepared_ahead_are_the_same_and_in_order(workers: int):
    with closing(make_batches(batch=2, workers=workers)) as batches:
        for epoch, weighted in ((0, False), (1, True)):
            wanted = make_batches(batch=2)
            wanted.start(epoch, weighted)
            batches.start(epoch, weighted)
            ahead = list(batches.ahead())
            assert len(ahead) == len(wanted)
            for step, found in enumerate(ahead):
                for mine, theirs in zip(found, wanted[step], strict=True):
                    np.testing.assert_array_equal(mine, theirs)


def test_fewer_tiles_than_a_batch_make_one_step():
    assert len(make_batches(batch=64)) == 1
    assert make_batches(batch=64)[0][0].shape[0] == 10


def test_sample_weights_only_with_the_weighted_border():
    batches = make_batches()
    assert len(batches[0]) == 2
    batches.start(0, weighted=True)
    batch = batches[0]
    assert len(batch) == 3
    assert batch[2].shape == batch[1].shape[:3]
    assert (batch[2] > 0).all()
