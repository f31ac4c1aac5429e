"""The transform of a tile to the network's input, and of the network's output to the tile."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.config import InputSettings, UserError
from pipeline.data.input_transform import InputTransform
from tests.conftest import blobs


def on_tile(transform: InputTransform, probabilities: np.ndarray) -> np.ndarray:
    """The network's output without its margins, on the tile."""
    before, _ = transform.around_output
    inner = probabilities[:, before : before + transform.inner, before : before + transform.inner]
    return transform.from_network(inner.astype(np.float32))


@pytest.mark.parametrize("size", [101, 112, 128])
def test_padding_is_inverted_exactly(size: int):
    images, _ = blobs(3)
    transform = InputTransform(InputSettings(fit="pad", size=size))
    inputs = transform.to_input(images)
    assert inputs.shape == (3, size, size, 1)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(on_tile(transform, inputs[..., 0] / 255), images)


def test_padding_mirrors_the_border():
    images, _ = blobs(2)
    inputs = InputTransform(InputSettings(fit="pad", size=112)).to_input(images)[..., 0]
    np.testing.assert_array_equal(inputs[:, 4], inputs[:, 6])


def test_resizing_is_inverted_approximately():
    _, masks = blobs(6)
    transform = InputTransform(InputSettings(fit="resize", size=128))
    back = on_tile(transform, transform.to_target(masks)[..., 0]) > 127
    assert (back != masks).mean() < 0.01


@pytest.mark.parametrize(("size", "resize"), [(128, 0), (144, 0), (224, 192)])
def test_a_resized_mask_is_aligned_with_its_tile(size: int, resize: int):
    rows, columns = np.mgrid[:101, :101]
    disc = ((rows - 50) ** 2 + (columns - 50) ** 2 < 30**2).astype(np.uint8)[None]
    transform = InputTransform(InputSettings(fit="resize", size=size, resize=resize))
    for resized in (transform.to_target(disc), transform.to_input(disc * 255) > 127):
        # The disc is at the centre of the tile, so it must be at the centre of the input.
        inside = np.argwhere(resized[0, ..., 0])
        np.testing.assert_allclose(inside.mean(0), (size - 1) / 2, atol=0.05)


def test_a_tile_can_be_resized_and_then_mirrored():
    images, masks = blobs(6)
    transform = InputTransform(InputSettings(fit="resize", size=224, resize=192))
    inputs = transform.to_input(images)
    assert inputs.shape == (6, 224, 224, 1)
    np.testing.assert_array_equal(inputs[:, 15], inputs[:, 17])  # mirrored around the tile's first row
    assert ((on_tile(transform, transform.to_target(masks)[..., 0]) > 127) != masks).mean() < 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (InputSettings(fit="pad", resize=192), "input.resize needs input.fit = resize"),
        (InputSettings(fit="resize", size=128, resize=192), "take at most as many, or a larger input.size"),
    ],
)
def test_a_resize_that_does_not_fit_is_one_line(settings: InputSettings, message: str):
    with pytest.raises(UserError, match=message):
        InputTransform(settings)


def test_an_unpadded_network_predicts_the_centre_of_its_input():
    images, masks = blobs(2)
    transform = InputTransform(InputSettings(fit="resize", size=572), output=388)
    inputs, targets = transform.to_input(images), transform.to_target(masks)
    assert inputs.shape == (2, 572, 572, 1)
    assert targets.shape == (2, 388, 388, 1)
    middle = inputs[:, 92:-92, 92:-92, 0]
    assert np.abs(on_tile(transform, middle / 255).astype(int) - images).mean() < 8  # resizing smooths the noise
    np.testing.assert_array_equal(inputs[:, 91], inputs[:, 93])


def test_an_output_smaller_than_the_tile_is_refused():
    with pytest.raises(UserError, match=r"input\.size"):
        InputTransform(InputSettings(fit="pad", size=112), output=90)
