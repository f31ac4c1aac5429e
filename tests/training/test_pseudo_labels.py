"""Pseudo-labels: which test tiles a network may teach itself with, and that they lie where batches look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.training.pseudo_labels import PseudoLabels, most_confident
from tests.conftest import Chain, blobs


def seen(salt: list[int], sure: int, doubt: int) -> np.ndarray:
    """A tile of 10 x 10 with some full rows of salt: ``sure`` there and 255 - ``sure`` elsewhere, one row in doubt."""
    tile = np.full((10, 10), 255 - sure, np.uint8)
    tile[salt] = sure
    tile[-1] = doubt
    return tile


def test_the_surest_of_both_kinds_are_kept_with_the_masks_that_were_seen():
    found = np.stack(
        [
            seen([0, 1], 255, 0),  # sure of its salt
            seen([], 255, 90),  # empty, in doubt
            seen([0, 1], 255, 120),  # salt, and a row more perhaps
            seen([], 255, 0),  # sure that it is empty
            seen([0, 1], 150, 0),  # salt, hardly
            seen([], 250, 0),  # empty, nearly sure
        ]
    )
    rows, masks = most_confident(found, 0.7)
    assert rows.tolist() == [0, 2, 3, 5]
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks, found[rows] > 127)
    assert most_confident(found, 0.34)[0].tolist() == [0, 3]
    assert most_confident(found, 1.0)[0].tolist() == list(range(6))


def test_a_share_of_too_few_tiles_is_none():
    rows, masks = most_confident(np.zeros((1, 4, 4), np.uint8), 0.5)
    assert rows.shape == (0,)
    assert masks.shape == (0, 4, 4)


@pytest.mark.parametrize(("tiles", "looked_at"), [(6, 8), (100, 20)])
def test_labelled_tiles_stay_and_test_tiles_come_behind_them(tmp_path: Path, tiles: int, looked_at: int):
    images, masks = blobs(5)
    others, truth = blobs(20, seed=1)
    depths = np.arange(5, dtype=np.float32), 100 + np.arange(20, dtype=np.float32)
    pseudo = PseudoLabels(images, masks, others, tiles, 0.75, 0, tmp_path / "pseudo", depths)
    asked: list[set[int]] = []

    def label(chosen: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
        assert seen is not None
        which = (seen - 100).astype(int)
        np.testing.assert_array_equal(others[which], chosen)
        asked.append({*which.tolist()})
        return truth[which] * np.uint8(255)

    for epoch in (3, 4, 3):
        rows = pseudo.renew(epoch, label)
        assert len(asked[-1]) == looked_at
        np.testing.assert_array_equal(pseudo.images[:5], images)
        np.testing.assert_array_equal(pseudo.masks[:5], masks)
        assert pseudo.depths is not None
        which = (pseudo.depths[rows] - 100).astype(int)
        assert {*which.tolist()} <= asked[-1]
        np.testing.assert_array_equal(pseudo.images[rows], others[which])
        np.testing.assert_array_equal(pseudo.masks[rows], truth[which])
    assert asked[0] == asked[2]
    assert (asked[0] != asked[1]) == (looked_at < 20)


def test_the_chain_trains_on_its_own_test_tiles(chain: Chain):
    assert chain("train", "--set", "train.pseudo_fraction=0.2 train.pseudo_start=0") == 0
    folder = chain.root / "data/demo/experiments/demo/fold-0"
    assert "pseudo_labels" in (folder / "history.csv").read_text().splitlines()[0]
    assert chain("train", "--set", "train.pseudo_fraction=1.5") == 2
    assert "pseudo_fraction" in chain.error
