"""The picture of assembled sections."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.data.sections import Sections
from pipeline.reporting import section_picture
from pipeline.reporting.section_picture import HEIGHT, LABELLED, LARGEST, SALT, WIDTH, WITH_SALT


def drawn(sections: Sections, masks: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
    """The picture as (height, width, 3) RGB."""
    images = np.full((len(sections.section), 101, 101), 60, np.uint8) if images is None else images
    png = section_picture.draw(images, masks, sections)
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def sections(*places: tuple[int, int, int]) -> Sections:
    """From section, row and column of each tile."""
    section, row, column = np.array(places).T
    return Sections(section, row, column, {})


def box(picture: np.ndarray, colour: object) -> tuple[int, int, int, int] | None:
    """Top, left, bottom and right of the pixels of a colour, ends included."""
    rows, columns = np.nonzero((picture == colour).all(axis=2))
    return (rows.min(), columns.min(), rows.max(), columns.max()) if len(rows) else None


def rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def test_tiles_are_in_their_places_and_labelled_ones_have_the_outline_of_their_mask():
    # Tile 1 above tile 0, tile 2 beside tile 0; tile 3 is alone.
    images = np.stack([np.full((101, 101), grey, np.uint8) for grey in (10, 60, 110, 160)])
    masks = np.zeros((2, 101, 101), np.uint8)
    masks[0, 50:, 20:] = 1
    picture = drawn(sections((0, 1, 0), (0, 0, 0), (0, 1, 1), (1, 0, 0)), masks, images)[70:]  # without text
    first, upper, beside = (box(picture, [grey] * 3) for grey in (10, 60, 110))
    assert first is not None
    assert upper is not None
    assert beside is not None
    assert [upper[2] - upper[0], upper[3] - upper[1]] == [100, 100]
    assert (first[0] - upper[0], first[1] - upper[1]) == (103, 0)
    assert (beside[0] - first[0], beside[1] - first[1]) == (0, 103)
    assert box(picture, [160] * 3) is None
    outline = box(picture, rgb(SALT))
    assert outline == (first[0] + 50, first[1] + 20, first[0] + 100, first[1] + 100)
    assert (picture[outline[0] + 1 : outline[2], outline[1] + 1 : outline[3]] == 10).all()
    frames = box(picture, rgb(LABELLED))
    assert frames == (upper[0] - 1, upper[1] - 1, first[0] + 101, first[1] + 101)


def test_the_largest_sections_are_drawn_and_those_with_most_salt():
    count = LARGEST + WITH_SALT + 3
    tiles = [(section, 0, column) for section in range(count) for column in range(2)]
    masks = np.zeros((len(tiles), 101, 101), np.uint8)
    images = masks + np.array([5 + 10 * section for section, _, _ in tiles], np.uint8)[:, None, None]
    masks[[-1, -2], 40:60, 40:60] = 1
    picture = drawn(sections(*tiles), masks, images)
    inside = [(picture == 5 + 10 * number).all(axis=2).sum() for number in range(count)]
    shown = [number for number, pixels in enumerate(inside) if pixels > 5000]  # text has few of a grey value
    assert shown == [*range(LARGEST + WITH_SALT - 1), count - 1]


def test_the_picture_is_bounded_whatever_the_sections():
    steps = [(section, step, step) for section in (0, 1) for step in range(1000)]
    picture = drawn(sections(*steps), np.zeros((5, 8, 8), np.uint8), np.zeros((len(steps), 8, 8), np.uint8))
    assert picture.shape[0] <= HEIGHT + 60
    assert picture.shape[1] == WIDTH
    assert box(picture, rgb(LABELLED)) is not None


def test_without_neighbours_the_picture_says_so():
    picture = drawn(sections((0, 0, 0), (1, 0, 0)), np.zeros((1, 101, 101), np.uint8))
    assert picture.shape[0] < 100
    assert (picture < 128).any()
    assert drawn(Sections(*(np.zeros(0, np.int64),) * 3, {}), np.zeros((0, 101, 101), np.uint8)).size
