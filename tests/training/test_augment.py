"""The training policy repeats by (seed, epoch, tile), and a tile survives the way into the network and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.config import AugmentSettings, InputSettings, UserError
from pipeline.data.input_transform import InputTransform
from pipeline.training.augment import Augmenter
from tests.conftest import blobs

EVERYTHING = AugmentSettings(flip=0.5, affine=1, elastic=0.7, grid=0.7, crop=1, intensity=1, gamma=1)
NOTHING = AugmentSettings(flip=0, affine=0, elastic=0, grid=0, crop=0, intensity=0, gamma=0)


def only(step: str) -> Augmenter:
    chosen: dict[str, Any] = {"affine": 0, "flip": 0, "intensity": 0, step: 1}
    return Augmenter(AugmentSettings(**chosen))


def test_the_same_draw_gives_the_same_view_whoever_makes_it():
    images, masks = blobs(3)
    one, other = Augmenter(EVERYTHING), Augmenter(EVERYTHING)
    other(images[0], masks[0], (9, 9, 9))  # what a worker did before does not matter
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


@pytest.mark.parametrize("step", ["flip", "affine", "elastic", "grid", "crop"])
def test_every_geometric_step_moves_image_and_mask_together(step: str):
    masks = blobs(2)[1]
    image = masks[1] * 200
    augmenter = only(step)
    moved = 0
    for draw in range(5):
        view, mask = augmenter(image, masks[1], (0, 0, draw))
        moved += not np.array_equal(mask, masks[1])
        # Interpolation blurs the image's border by a pixel; the mask takes the nearest.
        assert ((view > 100) != (mask > 0)).mean() < 0.02
    assert moved


@pytest.mark.parametrize("step", ["intensity", "gamma"])
def test_every_step_on_values_leaves_the_mask(step: str):
    images, masks = blobs(2)
    augmenter = only(step)
    views = [augmenter(images[1], masks[1], (0, 0, draw)) for draw in range(5)]
    assert any(not np.array_equal(image, images[1]) for image, _ in views)
    assert all(np.array_equal(mask, masks[1]) for _, mask in views)


def test_all_off_changes_nothing():
    images, masks = blobs(2)
    image, mask = Augmenter(NOTHING)(images[1], masks[1], (0, 0, 0))
    np.testing.assert_array_equal(image, images[1])
    np.testing.assert_array_equal(mask, masks[1])


def answer(transform: InputTransform, probabilities: np.ndarray) -> np.ndarray:
    """What becomes of a network's answer: the margins go, the rest is put on the tile."""
    before, _ = transform.around_output
    inner = probabilities[:, before : before + transform.inner, before : before + transform.inner]
    return transform.from_network(inner.astype(np.float32))


@pytest.mark.parametrize("size", [101, 112, 128])
def test_padding_is_undone_exactly(size: int):
    images, _ = blobs(3)
    transform = InputTransform(InputSettings(fit="pad", size=size))
    inputs = transform.to_input(images)
    assert inputs.shape == (3, size, size, 1)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(answer(transform, inputs[..., 0] / 255), images)


def test_padding_mirrors_the_border():
    images, _ = blobs(2)
    inputs = InputTransform(InputSettings(fit="pad", size=112)).to_input(images)[..., 0]
    np.testing.assert_array_equal(inputs[:, 4], inputs[:, 6])


def test_resizing_is_undone_nearly():
    _, masks = blobs(6)
    transform = InputTransform(InputSettings(fit="resize", size=128))
    back = answer(transform, transform.to_target(masks)[..., 0]) > 127
    assert (back != masks).mean() < 0.01


@pytest.mark.parametrize(("size", "resize"), [(128, 0), (144, 0), (224, 192)])
def test_a_resized_mask_lies_where_its_tile_does(size: int, resize: int):
    rows, columns = np.mgrid[:101, :101]
    disc = ((rows - 50) ** 2 + (columns - 50) ** 2 < 30**2).astype(np.uint8)[None]
    transform = InputTransform(InputSettings(fit="resize", size=size, resize=resize))
    for seen in (transform.to_target(disc), transform.to_input(disc * 255) > 127):
        # The disc is in the middle of the tile, so it has to be in the middle of what the network sees.
        inside = np.argwhere(seen[0, ..., 0])
        np.testing.assert_allclose(inside.mean(0), (size - 1) / 2, atol=0.05)


def test_a_tile_may_be_resized_and_then_mirrored():
    images, masks = blobs(6)
    transform = InputTransform(InputSettings(fit="resize", size=224, resize=192))
    inputs = transform.to_input(images)
    assert inputs.shape == (6, 224, 224, 1)
    np.testing.assert_array_equal(inputs[:, 15], inputs[:, 17])  # mirrored around the tile's first row
    assert ((answer(transform, transform.to_target(masks)[..., 0]) > 127) != masks).mean() < 0.01


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (InputSettings(fit="pad", resize=192), "input.resize needs input.fit = resize"),
        (InputSettings(fit="resize", size=128, resize=192), "take at most as many, or a larger input.size"),
    ],
)
def test_a_resize_that_does_not_fit_is_one_line(settings: InputSettings, told: str):
    with pytest.raises(UserError, match=told):
        InputTransform(settings)


def test_an_unpadded_network_answers_the_middle_of_its_input():
    images, masks = blobs(2)
    transform = InputTransform(InputSettings(fit="resize", size=572), output=388)
    inputs, targets = transform.to_input(images), transform.to_target(masks)
    assert inputs.shape == (2, 572, 572, 1)
    assert targets.shape == (2, 388, 388, 1)
    middle = inputs[:, 92:-92, 92:-92, 0]
    assert np.abs(answer(transform, middle / 255).astype(int) - images).mean() < 8  # noise is smoothed on the way
    np.testing.assert_array_equal(inputs[:, 91], inputs[:, 93])


def test_an_answer_smaller_than_the_tile_is_refused():
    with pytest.raises(UserError, match=r"input\.size"):
        InputTransform(InputSettings(fit="pad", size=112), output=90)
