"""A picture of assembled sections: tiles in their places, labelled ones with the outline of their mask."""

from __future__ import annotations

import io
from typing import NamedTuple

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.data.sections import Sections
from pipeline.reporting.palette import COLOURS, NAMES

LARGEST, WITH_SALT = 8, 6
"""Sections that are drawn: the largest ones, then those of the others with the most labelled tiles with salt."""
WIDTH, HEIGHT = 1900, 2000
"""Most pixels of the sections together with their captions."""
SIDES = (101, 80, 64, 56, 48, 40, 32, 24, 16, 8, 4)
"""Sides of a drawn tile in pixels; the largest with which all sections fit is used."""
CAPTION, CAPTION_WIDTH, SPACE = 18, 300, 16
"""Height and smallest width of a section's caption, and the space around a section, in pixels."""
SALT, LABELLED = (COLOURS[NAMES.index(name)] for name in ("orange", "sky"))
_DPI = 100


class _Place(NamedTuple):
    """A section in the picture."""

    number: int
    rows: int
    columns: int
    x: int
    """Pixels from the left."""
    y: int
    """Pixels from the top."""


def draw(images: np.ndarray, masks: np.ndarray, sections: Sections) -> bytes:
    """Draw the largest sections of two tiles or more, and some with salt, at the same scale.

    Args:
        images: (n, height, width) uint8 grey values, may be memory-mapped; the labelled tiles come first.
        masks: (m, height, width) 0/1, of the first m tiles.
        sections: of the n tiles.

    Returns:
        A PNG of at most about 1900 x 2100 pixels. What lies beyond that in a huge section is cut off.
    """
    sizes = np.bincount(sections.section)
    salt = np.bincount(sections.section[: len(masks)], masks.any(axis=(1, 2)), len(sizes)).astype(int)
    chosen = _chosen(sizes, salt)
    side, places, height = _arranged(sections, chosen)
    header = 2 * CAPTION + SPACE
    canvas = np.full((header + height, WIDTH, 3), 255, np.uint8)
    figure = Figure(figsize=(WIDTH / _DPI, len(canvas) / _DPI), dpi=_DPI)

    def write(text: str, x: int, y: int, size: float = 9) -> None:
        figure.text(x / WIDTH, 1 - y / len(canvas), text, fontsize=size, va="top", color="black")

    for place in places:
        tiles = np.flatnonzero(sections.section == place.number)
        at = canvas[header + place.y + CAPTION :, place.x :][: place.rows * (side + 2), : place.columns * (side + 2)]
        for tile in tiles[::-1]:  # copies have one place; a labelled one is seen
            row, column = int(sections.row[tile]), int(sections.column[tile])
            if row < place.rows and column < place.columns:
                cell = at[row * (side + 2) :, column * (side + 2) :][: side + 2, : side + 2]
                cell[:] = _tile(images[tile], masks[tile] if tile < len(masks) else None, side)
        labelled = int((tiles < len(masks)).sum())
        caption = f"section {place.number}: {len(tiles):,} tiles, {labelled} labelled, {salt[place.number]} with salt"
        write(caption, place.x, header + place.y)
    write(_header(sizes, len(chosen)), SPACE, 4, size=10)
    figure.figimage(canvas)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    return stream.getvalue()


def _chosen(sizes: np.ndarray, salt: np.ndarray) -> list[int]:
    """Numbers of the sections to draw, from the tiles and the labelled tiles with salt of each section."""
    several = np.flatnonzero(sizes > 1)
    largest, others = several[:LARGEST], several[LARGEST:]
    if len(others) > WITH_SALT:
        others = others[np.argsort(-salt[others], kind="stable")[:WITH_SALT]]
    return [*map(int, largest), *map(int, others)]


def _header(sizes: np.ndarray, drawn: int) -> str:
    tiles, several = int(sizes.sum()), int((sizes > 1).sum())
    if not several:
        return f"None of {tiles:,} tiles has a neighbour."
    which = (
        "all are drawn"
        if drawn == several
        else f"drawn are the {LARGEST} largest and the {WITH_SALT} others with the most labelled tiles with salt"
    )
    together = int(sizes[sizes > 1].sum())
    return (
        f"{together:,} of {tiles:,} tiles are in {several:,} sections of two tiles or more; {which}.\n"
        "Blue frame: labelled tile. Orange: outline of its salt."
    )


def _arranged(sections: Sections, numbers: list[int]) -> tuple[int, list[_Place], int]:
    """Side of a tile, the places of some sections, row by row, and the height of all, in pixels."""
    shapes = []
    for number in numbers:
        own = sections.section == number
        shapes.append((int(sections.row[own].max()) + 1, int(sections.column[own].max()) + 1))
    room = ((HEIGHT - CAPTION - SPACE) // (SIDES[-1] + 2), (WIDTH - 2 * SPACE) // (SIDES[-1] + 2))
    shapes = [(min(rows, room[0]), min(columns, room[1])) for rows, columns in shapes]
    for side in SIDES:
        places, x, y, lowest = [], SPACE, 0, 0
        for number, (rows, columns) in zip(numbers, shapes, strict=True):
            width = max(columns * (side + 2), CAPTION_WIDTH)
            if x > SPACE and x + width > WIDTH - SPACE:
                x, y = SPACE, lowest
            places.append(_Place(number, rows, columns, x, y))
            lowest = max(lowest, y + CAPTION + rows * (side + 2) + SPACE)
            x += width + SPACE
        fits = all(SPACE + columns * (side + 2) <= WIDTH - SPACE for _, columns in shapes)
        if fits and lowest <= HEIGHT:
            return side, places, lowest
    kept = [place for place in places if place.y + CAPTION + place.rows * (side + 2) + SPACE <= HEIGHT]
    return side, kept, HEIGHT


def _tile(image: np.ndarray, mask: np.ndarray | None, side: int) -> np.ndarray:
    """A tile in a frame of one pixel, (side + 2, side + 2, 3) uint8."""
    framed = np.full((side + 2, side + 2, 3), 225, np.uint8)
    inner = framed[1:-1, 1:-1]
    inner[:] = cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=cv2.INTER_AREA)[..., None]
    if mask is not None:
        framed[[0, -1]] = framed[:, [0, -1]] = _rgb(LABELLED)
        share = cv2.resize((mask > 0).astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        salt = (share > 0.5).astype(np.uint8)
        core = cv2.erode(np.pad(salt, 1), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
        inner[salt > core] = _rgb(SALT)
    return framed


def _rgb(colour: str) -> np.ndarray:
    return np.round(np.array(mpl.colors.to_rgb(colour)) * 255)
