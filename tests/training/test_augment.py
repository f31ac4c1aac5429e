"""The training policy: determined by seed, epoch and tile, and the same for image and mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.config import AugmentSettings, UserError, load
from pipeline.training.augment import CUTOUT_GREY, Augmenter, albu
from tests.conftest import blobs

EVERYTHING = AugmentSettings(
    flip=0.5, affine=1, elastic=0.7, grid=0.7, crop=1, resized_crop=0.7, intensity=1, gamma=1, cutout=0.7
)
NOTHING = AugmentSettings(flip=0, affine=0, elastic=0, grid=0, crop=0, intensity=0, gamma=0)


def only(step: str) -> Augmenter:
    chosen: dict[str, Any] = {"affine": 0, "flip": 0, "intensity": 0, step: 1}
    return Augmenter(AugmentSettings(**chosen))


def test_the_same_draw_gives_the_same_view_in_any_worker():
    images, masks = blobs(3)
    one, other = Augmenter(EVERYTHING), Augmenter(EVERYTHING)
    other(images[0], masks[0], (9, 9, 9))  # earlier calls do not matter
    for index in range(3):
        for mine, theirs in zip(
            one(images[index], masks[index], (1, 2, index)),
            other(images[index], masks[index], (1, 2, index)),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("draw", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_seed_epoch_and_tile_each_change_the_view(draw: tuple[int, int, int]):
    images, masks = blobs(2)
    augmenter = Augmenter(EVERYTHING)
    assert not np.array_equal(augmenter(images[1], masks[1], (0, 0, 0))[0], augmenter(images[1], masks[1], draw)[0])


def test_views_keep_shape_type_and_values():
    images, masks = blobs(20)
    augmenter = Augmenter(EVERYTHING)
    for index in range(20):
        image, mask = augmenter(images[index], masks[index], (0, 0, index))
        assert image.shape == mask.shape == (101, 101)
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 1}


@pytest.mark.parametrize("step", ["flip", "affine", "elastic", "grid", "crop", "resized_crop"])
def test_each_geometric_step_moves_image_and_mask_together(step: str):
    masks = blobs(2)[1]
    image = masks[1] * 200
    augmenter = only(step)
    moved = 0
    for draw in range(5):
        view, mask = augmenter(image, masks[1], (0, 0, draw))
        moved += not np.array_equal(mask, masks[1])
        # Interpolation blurs the border in the image by a pixel; the mask uses the nearest pixel.
        assert ((view > 100) != (mask > 0)).mean() < 0.02
    assert moved


@pytest.mark.parametrize("step", ["intensity", "gamma", "cutout"])
def test_each_step_on_values_leaves_the_mask_unchanged(step: str):
    images, masks = blobs(2)
    augmenter = only(step)
    views = [augmenter(images[1], masks[1], (0, 0, draw)) for draw in range(5)]
    assert any(not np.array_equal(image, images[1]) for image, _ in views)
    assert all(np.array_equal(mask, masks[1]) for _, mask in views)


def test_no_step_changes_nothing():
    images, masks = blobs(2)
    image, mask = Augmenter(NOTHING)(images[1], masks[1], (0, 0, 0))
    np.testing.assert_array_equal(image, images[1])
    np.testing.assert_array_equal(mask, masks[1])


def test_a_resized_crop_shows_a_part_of_the_tile():
    rows = np.repeat(np.arange(101, dtype=np.uint8)[:, None], 101, axis=1)
    crop = Augmenter(AugmentSettings(flip=0, affine=0, grid=0, intensity=0, resized_crop=1))
    spans = [np.ptp(crop(rows, rows, (0, 0, draw))[0].astype(int)) for draw in range(30)]
    assert 78 <= min(spans) < 85  # 0.8 of the side
    assert 90 < max(spans) <= 100


@pytest.mark.parametrize("size", [30, 7])
def test_cutout_covers_one_square_and_leaves_every_other_step_as_it_is(size: int):
    images, masks = blobs(2)
    without, with_cutout = Augmenter(AugmentSettings()), Augmenter(AugmentSettings(cutout=1, cutout_size=size))
    squares = set()
    for draw in range(8):
        image, mask = without(images[1], masks[1], (0, 0, draw))
        covered, same = with_cutout(images[1], masks[1], (0, 0, draw))
        np.testing.assert_array_equal(mask, same)
        rows, columns = np.nonzero(covered != image)
        assert np.ptp(rows) < size
        assert np.ptp(columns) < size
        assert set(covered[covered != image]) == {CUTOUT_GREY}
        assert (covered == CUTOUT_GREY).sum() >= size * size
        squares.add((rows.min(), columns.min()))
    assert len(squares) > 4


def test_steps_that_are_off_leave_the_draws_of_the_others_unchanged():
    images, masks = blobs(2)
    border, chosen = cv2.BORDER_REFLECT_101, AugmentSettings()
    before = albu.Compose(
        [
            albu.HorizontalFlip(p=chosen.flip),
            albu.Affine(
                translate_percent=(-chosen.shift, chosen.shift),
                scale=chosen.scale,
                rotate=(-chosen.rotate, chosen.rotate),
                shear=(-chosen.shear, chosen.shear),
                border_mode=border,
                p=chosen.affine,
            ),
            albu.GridDistortion(distort_limit=chosen.grid_limit, border_mode=border, p=chosen.grid),
            albu.RandomBrightnessContrast(chosen.brightness, chosen.contrast, p=chosen.intensity),
        ]
    )
    for draw in range(10):
        before.set_random_seed(int(np.random.SeedSequence((0, 0, draw)).generate_state(1)[0]))
        expected = before(image=images[1], mask=masks[1])
        image, mask = Augmenter(chosen)(images[1], masks[1], (0, 0, draw))
        np.testing.assert_array_equal(image, expected["image"])
        np.testing.assert_array_equal(mask, expected["mask"])


@pytest.mark.parametrize(
    ("step", "setting"),
    [
        ("affine", "scale=[0.000001,1000000]"),
        ("affine", "rotate=1000000"),
        ("affine", "shift=1"),
        ("elastic", "elastic_sigma=1"),
        ("elastic", "elastic_sigma=1000000"),
        ("elastic", "elastic_alpha=0"),
        ("grid", "grid_limit=1"),
        ("intensity", "brightness=1"),
        ("intensity", "contrast=1"),
        ("gamma", "gamma_limit=[0.01,0.01]"),
        ("gamma", "gamma_limit=[0.01,1000000]"),
        ("crop", "crop_border=0"),
        ("crop", "crop_border=100"),
        ("resized_crop", "resized_crop_area=[0.000001,1]"),
        ("cutout", "cutout_size=101"),
    ],
)
def test_the_smallest_and_largest_values_that_are_allowed_make_a_view(step: str, setting: str):
    augmenter = Augmenter(load("unet", [f"augment.{step}=1", f"augment.{setting}"]).augment)
    images, masks = blobs(1)
    for index in range(3):
        image, mask = augmenter(images[0], masks[0], (0, 0, index))
        assert image.shape == mask.shape == (101, 101)


@pytest.mark.parametrize("setting", ["gamma_limit=[0.009,1]", "elastic_sigma=0.9"])
def test_a_value_that_albumentations_refuses_is_refused_before_any_work(setting: str):
    name = setting.partition("=")[0]
    with pytest.raises(UserError, match=rf"augment\.{name} must be .* 1000000, not"):
        load("unet", [f"augment.{setting}"])
