"""Confidence of predicted masks: the share of each kind of tile that is kept."""

from __future__ import annotations

import numpy as np

from pipeline.training.confidence import most_confident


def predicted(salt: list[int], sure: int, doubt: int) -> np.ndarray:
    """A tile of 10 x 10 with full rows of salt: ``sure`` there and 255 - ``sure`` elsewhere; ``doubt`` in the last."""
    tile = np.full((10, 10), 255 - sure, np.uint8)
    tile[salt] = sure
    tile[-1] = doubt
    return tile


def test_the_most_confident_of_both_kinds_are_kept_with_their_predicted_masks():
    found = np.stack(
        [
            predicted([0, 1], 255, 0),  # salt, certain
            predicted([], 255, 90),  # empty, uncertain
            predicted([0, 1], 255, 120),  # salt, perhaps with another row
            predicted([], 255, 0),  # empty, certain
            predicted([0, 1], 150, 0),  # salt, unlikely
            predicted([], 250, 0),  # empty, nearly certain
        ]
    )
    rows, masks = most_confident(found, 0.7)
    assert rows.tolist() == [0, 2, 3, 5]
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks, found[rows] > 127)
    assert most_confident(found, 0.34)[0].tolist() == [0, 3]
    assert most_confident(found, 1.0)[0].tolist() == list(range(6))


def test_a_share_of_less_than_one_tile_is_empty():
    rows, masks = most_confident(np.zeros((1, 4, 4), np.uint8), 0.5)
    assert rows.shape == (0,)
    assert masks.shape == (0, 4, 4)
