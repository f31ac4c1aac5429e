"""PNGs are decoded, or what is wrong with them is explained."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.png import decode_image, decode_mask
from tests.data.helpers import BAD_IMAGES, GOOD, chunk, png, raw_png, rgb, scanlines

PIXELS = np.random.default_rng(2).integers(0, 256, (101, 101), np.uint8)
GREY_PALETTE = chunk(b"PLTE", np.arange(256, dtype=np.uint8).repeat(3).tobytes())
IMAGES = {
    "grey": png(PIXELS),
    "rgb": png(rgb(PIXELS)),
    "rgba": png(np.dstack([rgb(PIXELS), 255 - PIXELS])),
    "grey with alpha": raw_png(scanlines(np.stack([PIXELS, 255 - PIXELS], axis=2)), 8, 4),
    "16 bits": png(PIXELS.astype(np.uint16) * 257),
    "palette": raw_png(scanlines(PIXELS), 8, 3, extra=GREY_PALETTE),
}
MASK = (PIXELS > 99).astype(np.uint8)
MASKS = {
    "8 bits": png(MASK * 255),
    "16 bits": png(MASK.astype(np.uint16) * 65535),
    "rgb": png(rgb(MASK * 255)),
    "0 and 1": png(MASK),
    "0 and 1 in 16 bits": png(MASK.astype(np.uint16)),
    "0 and 1 in rgb": png(rgb(MASK)),
    "1 bit": raw_png(scanlines(np.packbits(MASK, axis=1)), 1, 0),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_grey_images_of_every_kind_are_read(kind: str) -> None:
    found, error = decode_image(IMAGES[kind])
    assert error == ""
    np.testing.assert_array_equal(found, PIXELS)


@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_every_kind_are_read(kind: str) -> None:
    found, error = decode_mask(MASKS[kind])
    assert error == ""
    np.testing.assert_array_equal(found, MASK)


@pytest.mark.parametrize("error", BAD_IMAGES)
def test_a_bad_image_is_explained(error: str) -> None:
    pixels, reason = decode_image(BAD_IMAGES[error])
    assert pixels is None
    assert error in reason
    if not error.startswith("16"):
        assert decode_mask(BAD_IMAGES[error]) == (None, reason)


@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 1), (np.uint8, 254), (np.uint16, 255), (np.uint16, 65534)])
def test_a_mask_with_another_value_is_explained(dtype: type, value: int) -> None:
    mask: np.ndarray = MASK.astype(dtype) * np.iinfo(dtype).max
    mask[0, 0] = value
    pixels, reason = decode_mask(png(mask))
    assert pixels is None
    assert f"is a mask with the value {value}, not only 0 and {np.iinfo(dtype).max}, or only 0 and 1" in reason


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_hostile_png_bytes_are_decoded_or_refused(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([GOOD, BAD_IMAGES["in colour"], b"\x89PNG\r\n\x1a\n", b"x"])))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for decode in (decode_image, decode_mask):
        pixels, error = decode(bytes(content))
        assert (pixels is None) == bool(error)
        if pixels is not None:
            assert pixels.shape == (101, 101)
            assert pixels.dtype == np.uint8
