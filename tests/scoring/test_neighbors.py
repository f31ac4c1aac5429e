"""Rules that take over what is known of labelled neighbours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.scoring import neighbors
from pipeline.scoring.neighbors import SEAM, Neighbors

SIDE = 40


def picture(*parts: tuple[slice, slice]) -> np.ndarray:
    """A mask with salt in some parts, (SIDE, SIDE) uint8."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for part in parts:
        mask[part] = 1
    return mask


def beside(*others: np.ndarray, above: bool = True) -> Neighbors:
    """Of one tile per mask, each with that mask above (or below)."""
    places, none = np.arange(len(others)), np.full(len(others), -1)
    return Neighbors(places if above else none, none if above else places, none, np.stack(others))


def applied(rule: str, masks: list[np.ndarray], around: Neighbors) -> np.ndarray:
    return neighbors.apply(np.stack(masks) > 0, [rule], around).astype(np.uint8)


ALL = slice(None)
EMPTY, FULL = picture(), picture((ALL, ALL))
STRIPE = picture((ALL, slice(5, 20)))
TOP, BOTTOM = picture((slice(0, 25), ALL)), picture((slice(15, None), ALL))


@pytest.fixture(params=[True, False], ids=["below", "above"])
def lower(request: pytest.FixtureRequest) -> bool:
    """Whether the tile is below its neighbour."""
    return bool(request.param)


@pytest.fixture
def turned(lower: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Turns a tile below its neighbour into one above it."""
    return lambda mask: mask if lower else mask[::-1]


def test_a_vertical_stripe_continues_on_both_sides(lower: bool):
    curved = STRIPE.copy()
    curved[0, 30] = 1
    around = beside(STRIPE, curved, EMPTY, FULL, above=lower)
    found = applied("neighbor_stripe", [TOP, TOP, TOP, TOP], around)
    np.testing.assert_array_equal(found, [STRIPE, TOP, TOP, TOP])
    # An empty prediction is replaced as well.
    np.testing.assert_array_equal(applied("neighbor_stripe", [EMPTY], beside(STRIPE, above=lower)), [STRIPE])


def test_below_a_last_row_without_salt_or_of_salt_only_a_tile_is_empty():
    masks = [FULL, FULL, STRIPE, STRIPE]
    found = applied("neighbor_empty", masks, beside(TOP, BOTTOM, STRIPE, FULL))
    np.testing.assert_array_equal(found, [EMPTY, EMPTY, STRIPE, EMPTY])


def test_above_an_empty_tile_a_tile_is_empty_or_salt_down_to_its_last_row():
    wide, narrow = picture((slice(10, None), slice(0, 21))), picture((slice(10, None), slice(0, 19)))
    masks = [TOP, BOTTOM, wide, narrow, TOP, TOP]
    found = applied("neighbor_empty", masks, beside(EMPTY, EMPTY, EMPTY, EMPTY, BOTTOM, FULL, above=False))
    np.testing.assert_array_equal(found, [EMPTY, BOTTOM, wide, EMPTY, TOP, TOP])


def test_near_the_seam_columns_follow_the_neighbours_row(lower: bool, turned: Callable[[np.ndarray], np.ndarray]):
    half = picture((ALL, slice(0, 20)))
    thin = picture((slice(0, SEAM), slice(20, 30)), (ALL, slice(0, 20)))  # salt where the neighbour has none
    thick = picture((slice(0, SEAM + 1), slice(20, 30)), (ALL, slice(0, 20)))
    late = picture((slice(SEAM, None), slice(0, 20)))  # rock where the neighbour has salt
    later = picture((slice(SEAM + 1, None), slice(0, 20)))
    apart = picture((slice(1, 4), slice(20, 30)), (ALL, slice(0, 20)))  # does not touch the seam
    below_full = picture((slice(4, None), ALL))
    masks = [turned(mask) for mask in (thin, thick, late, later, apart, EMPTY, below_full)]
    found = applied("neighbor_border", masks, beside(*[half] * 6, FULL, above=lower))
    kept = [turned(mask) for mask in (thick, later, apart, EMPTY, below_full)]
    np.testing.assert_array_equal(found, [half, kept[0], half, *kept[1:]])
    # Without salt at the seam, what is thin there goes.
    none, cap = turned(TOP), picture((slice(0, 3), ALL))
    np.testing.assert_array_equal(applied("neighbor_border", [turned(cap)], beside(none, above=lower)), [EMPTY])


@pytest.mark.parametrize("rule", neighbors.RULES)
def test_a_tile_without_a_labelled_neighbour_keeps_its_mask(rule: str):
    none, masks = np.array([-1, -1]), [TOP, STRIPE]
    alone = Neighbors(none, none, np.array([0, 1]), np.stack([EMPTY, EMPTY]))
    np.testing.assert_array_equal(applied(rule, masks, alone), masks)
    assert alone.present.tolist() == [False, False]
    assert applied(rule, [EMPTY, EMPTY], alone).shape == (2, SIDE, SIDE)


@pytest.mark.parametrize("rule", neighbors.RULES)
def test_the_true_mask_of_a_tile_is_not_used_for_its_own_prediction(rule: str):
    masks, own = [TOP, TOP, TOP], np.arange(3)
    around = Neighbors(np.array([-1, 0, 1]), np.array([1, 2, -1]), own, np.stack([STRIPE, EMPTY, FULL]))
    before = applied(rule, masks, around)
    for tile in range(3):
        other = around.masks.copy()
        other[tile] = 1 - BOTTOM
        after = applied(rule, masks, Neighbors(around.above, around.below, own, other))
        np.testing.assert_array_equal(after[tile], before[tile])


def test_rules_that_are_not_named_change_nothing_and_the_given_masks_stay():
    masks = np.stack([TOP]) > 0
    np.testing.assert_array_equal(neighbors.apply(masks, ["fill_holes"], beside(STRIPE)), masks)
    assert neighbors.apply(masks, ["neighbor_stripe"], beside(STRIPE)).any()
    np.testing.assert_array_equal(masks[0], TOP > 0)


def test_neighbours_of_some_tiles():
    around = Neighbors(
        np.array([-1, 0, 3, -1]), np.array([1, -1, -1, -1]), np.array([0, 1, -1, 2]), np.zeros((4, 2, 2))
    )
    assert around.present.tolist() == [True, True, True, False]
    assert around.take(slice(1, 3)).above.tolist() == [0, 3]
    # Tiles 0 and 1 are each other's neighbours; the neighbour of tile 2 is none of the four.
    assert around.beside(np.array([True, False, False, False])).tolist() == [False, True, False, False]
    assert around.beside(np.array([False, True, True, True])).tolist() == [True, False, False, False]
    assert around.beside(np.zeros(4, bool)).tolist() == [False] * 4
