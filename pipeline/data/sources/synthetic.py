"""The built-in survey: a made-up data set in the competition's files and formats.

With it the whole pipeline runs offline and at once, and a change can be judged without the competition's data. Its
sections come from ``pipeline.data.sources.geology``. Its tiles keep the proportions of the competition's labelled tiles
(https://www.kaggle.com/competitions/tgs-salt-identification-challenge/data): how many hold no salt, how much salt the
others hold, how many images are constant, and how many masks are plain vertical bands.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.config import TILE, SurveySettings
from pipeline.data import rle
from pipeline.data.files import SOLUTION
from pipeline.data.sources.geology import DEEPEST, HEIGHT, SHALLOWEST, WIDTH, Section, model_section
from pipeline.system import disk

CONSTANT, EMPTY, BANDS = "constant", "empty", "bands"
COVERAGES = {"sparse": (0.0, 0.1), "some": (0.1, 0.36), "half": (0.36, 0.67), "most": (0.67, 1.0)}
"""Kinds of tiles with salt by the share of pixels that it covers."""
SHARES = {CONSTANT: 0.02, EMPTY: 0.37, BANDS: 0.03, "sparse": 0.146, "some": 0.146, "half": 0.144, "most": 0.144}
"""Share of each kind of tile."""
PER_SECTION = 5
"""Tiles of one kind (twice as many without salt) that one section gives, so that even a small survey has variety."""

# Tiles of a section lie in a grid of this size, each at a random place in its cell.
_ROWS, _COLUMNS = 3, 10
# Bands have at least so many columns with salt, and so many without.
_EDGE = 5


@dataclass(frozen=True)
class Cut:
    """A tile cut from a section: (101, 101) uint8 image and mask (1 is salt), and its centre's depth in feet."""

    image: np.ndarray
    mask: np.ndarray
    depth: int


@dataclass(frozen=True)
class _Place:
    """A tile of the survey that is still to be cut."""

    tile: str
    labelled: bool


def write_survey(folder: Path, settings: SurveySettings, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a survey. The same settings give the same bytes.

    Into ``folder`` go the competition's files: ``train.csv`` (id, rle_mask), ``depths.csv`` (id, z in feet),
    ``sample_submission.csv`` (id, rle_mask), ``train/images``, ``train/masks`` and ``test/images`` (``ID.png``); and
    ``solution.csv`` (id, rle_mask), the answers for the test tiles, which Kaggle does not ship. Images are 8-bit RGB
    with three equal channels, masks are 16-bit with 0 and 65535.

    Args:
        folder: an existing folder.
        settings: how many tiles, and the seed.
        progress: called with (tiles written, tiles in all).

    Raises:
        OSError: the folder cannot be written to.
    """
    for part in ("train/images", "train/masks", "test/images"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    places, order = _plan(settings)
    total = len(order)
    depths: dict[str, int] = {}
    masks: dict[str, str] = {}
    for batch in _survey(places, settings.seed):
        encoded = rle.encode(np.stack([cut.mask for _, cut in batch]))
        for (place, cut), text in zip(batch, encoded, strict=True):
            part = "train" if place.labelled else "test"
            _write_png(folder / part / "images" / f"{place.tile}.png", cv2.merge([cut.image] * 3))
            if place.labelled:
                _write_png(folder / "train" / "masks" / f"{place.tile}.png", cut.mask.astype(np.uint16) * 65535)
            depths[place.tile], masks[place.tile] = cut.depth, text
            if progress is not None:
                progress(len(depths), total)
    train, test = order[: settings.train], order[settings.train :]
    _write_csv(folder / "train.csv", ("id", "rle_mask"), [(tile, masks[tile]) for tile in train])
    _write_csv(folder / SOLUTION, ("id", "rle_mask"), [(tile, masks[tile]) for tile in test])
    _write_csv(folder / "sample_submission.csv", ("id", "rle_mask"), [(tile, "1 1") for tile in test])
    _write_csv(folder / "depths.csv", ("id", "z"), [(tile, depths[tile]) for tile in sorted(order)])


def _plan(settings: SurveySettings) -> tuple[dict[str, list[_Place]], list[str]]:
    """Tiles still to be cut by kind, in random order; and all ids, those of labelled tiles first."""
    draw = np.random.default_rng([settings.seed, 0])
    total = settings.train + settings.test
    ids = [f"{number:010x}" for number in draw.choice(16**10, total, replace=False)]
    places: dict[str, list[_Place]] = {kind: [] for kind in SHARES}
    for labelled, tiles in ((True, ids[: settings.train]), (False, ids[settings.train :])):
        # Rounding the running total keeps each kind within one tile of its share, whatever the size.
        borders = np.rint(np.cumsum(list(SHARES.values())) * len(tiles)).astype(int)
        for kind, begin, end in zip(SHARES, [0, *borders[:-1]], borders, strict=True):
            places[kind] += [_Place(tile, labelled) for tile in tiles[begin:end]]
    for waiting in places.values():
        draw.shuffle(waiting)
    # Ids are random, so their order within a part says nothing about the kind.
    return places, sorted(ids[: settings.train]) + sorted(ids[settings.train :])


def _survey(places: dict[str, list[_Place]], seed: int) -> Iterator[list[tuple[_Place, Cut]]]:
    """Fill each place; sections are modelled one at a time, until enough tiles of each kind were found."""
    draw = np.random.default_rng([seed, 1])
    if constant := places.pop(CONSTANT):
        yield [(place, _constant(draw)) for place in constant]
    number = 0
    while any(places.values()):
        draw = np.random.default_rng([seed, 2, number])
        number += 1
        room = {kind: min(len(waiting), PER_SECTION * (1 + (kind == EMPTY))) for kind, waiting in places.items()}
        batch = []
        for found in _cuts(model_section(draw), draw):
            kind, mask = _kind(found.mask), found.mask
            if room[BANDS] and (bands := _bands(mask)) is not None and draw.random() < 0.25:
                kind, mask = BANDS, bands
            if kind and room[kind]:
                room[kind] -= 1
                batch.append((places[kind].pop(), Cut(found.image, mask, found.depth)))
        if batch:
            yield batch


def _constant(draw: np.random.Generator) -> Cut:
    """A tile from outside of the recorded area, which is mostly black."""
    grey = 0 if draw.random() < 0.8 else int(draw.integers(1, 256))
    depth = int(draw.integers(round(SHALLOWEST) + TILE // 2, round(DEEPEST) - TILE // 2))
    return Cut(np.full((TILE, TILE), grey, np.uint8), np.zeros((TILE, TILE), np.uint8), depth)


def _cuts(section: Section, draw: np.random.Generator) -> Iterator[Cut]:
    """Tiles of a section, which share no pixel, in random order."""
    tall, wide = HEIGHT // _ROWS, WIDTH // _COLUMNS
    for cell in draw.permutation(_ROWS * _COLUMNS):
        row = int(cell // _COLUMNS * tall + draw.integers(0, tall - TILE + 1))
        column = int(cell % _COLUMNS * wide + draw.integers(0, wide - TILE + 1))
        window = (slice(row, row + TILE), slice(column, column + TILE))
        depth = round(section.depth(row + TILE // 2))
        yield Cut(section.image[window], section.salt[window].astype(np.uint8), depth)


def _kind(mask: np.ndarray) -> str | None:
    """Kind of a tile by its mask; None if it is all salt, which no tile of the competition is."""
    coverage = mask.mean()
    if coverage == 0:
        return EMPTY
    if coverage == 1:
        return None
    return next(kind for kind, (least, most) in COVERAGES.items() if least < coverage <= most)


def _bands(mask: np.ndarray) -> np.ndarray | None:
    """The mask as an annotator of whole columns would draw it; None if that would be another mask altogether."""
    columns = mask.mean(axis=0) > 0.5
    if not _EDGE <= columns.sum() <= TILE - _EDGE:
        return None
    bands = np.broadcast_to(columns.astype(np.uint8), mask.shape).copy()
    return bands if (bands & mask).sum() > 0.5 * (bands | mask).sum() else None


def _write_png(path: Path, image: np.ndarray) -> None:
    # OpenCV's own writer reports a full disk as False. Waiting for the disk after each of thousands of files takes
    # minutes; what it loses of them later is found by the hash in the manifest, and made again.
    disk.write(path, cv2.imencode(".png", image)[1].tobytes(), durable=False)


def _write_csv(path: Path, header: tuple[str, str], rows: list[tuple[str, object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    disk.write(path, text.getvalue().encode())
