"""The built-in survey: a made-up data set in the competition's files and formats.

With it the whole pipeline runs offline and in minutes, and a change can be judged without the competition's data. Its
sections come from ``pipeline.data.sources.geology``. Its tiles have the proportions of the competition's labelled tiles
(https://www.kaggle.com/competitions/tgs-salt-identification-challenge/data): how many have no salt, how much salt the
others have, how many images are constant, and how many masks are vertical bands.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.config import SurveySettings
from pipeline.data import rle
from pipeline.data.files import (
    DEPTHS_CSV,
    RAW_FOLDERS,
    RAW_TEST_IMAGES,
    RAW_TRAIN_IMAGES,
    RAW_TRAIN_MASKS,
    SAMPLE_SUBMISSION_CSV,
    SOLUTION,
    TRAIN_CSV,
)
from pipeline.data.sources.geology.section import model_section
from pipeline.data.sources.survey_tiles import (
    BANDS,
    CONSTANT,
    EMPTY,
    SurveyTile,
    constant_tile,
    cut_tiles,
    kind_of,
    vertical_bands,
)
from pipeline.system import disk

SHARES = {CONSTANT: 0.02, EMPTY: 0.37, BANDS: 0.03, "sparse": 0.146, "some": 0.146, "half": 0.144, "most": 0.144}
"""Share of each kind of tile."""
PER_SECTION = 5
"""Most tiles of one kind (twice as many without salt) from one section, so that even a small survey has variety."""


@dataclass(frozen=True)
class _Place:
    """A tile of the survey that has an id and no pixels yet."""

    id: str
    labelled: bool


def write_survey(folder: Path, settings: SurveySettings, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a survey; the same settings give the same bytes.

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
    for part in RAW_FOLDERS:
        (folder / part).mkdir(parents=True, exist_ok=True)
    places, order = _plan(settings)
    total = len(order)
    depths: dict[str, int] = {}
    masks: dict[str, str] = {}
    for batch in _survey(places, settings.seed):
        encoded = rle.encode(np.stack([tile.mask for _, tile in batch]))
        for (place, tile), text in zip(batch, encoded, strict=True):
            part = RAW_TRAIN_IMAGES if place.labelled else RAW_TEST_IMAGES
            _write_png(folder / part / f"{place.id}.png", cv2.merge([tile.image] * 3))
            if place.labelled:
                _write_png(folder / RAW_TRAIN_MASKS / f"{place.id}.png", tile.mask.astype(np.uint16) * 65535)
            depths[place.id], masks[place.id] = tile.depth, text
            if progress is not None:
                progress(len(depths), total)
    train, test = order[: settings.train], order[settings.train :]
    _write_csv(folder / TRAIN_CSV, ("id", "rle_mask"), [(name, masks[name]) for name in train])
    _write_csv(folder / SOLUTION, ("id", "rle_mask"), [(name, masks[name]) for name in test])
    _write_csv(folder / SAMPLE_SUBMISSION_CSV, ("id", "rle_mask"), [(name, "1 1") for name in test])
    _write_csv(folder / DEPTHS_CSV, ("id", "z"), [(name, depths[name]) for name in sorted(order)])


def _plan(settings: SurveySettings) -> tuple[dict[str, list[_Place]], list[str]]:
    """Tiles of each kind, in random order; and all ids, those of labelled tiles first."""
    rng = np.random.default_rng([settings.seed, 0])
    total = settings.train + settings.test
    ids = [f"{number:010x}" for number in rng.choice(16**10, total, replace=False)]
    places: dict[str, list[_Place]] = {kind: [] for kind in SHARES}
    for labelled, tiles in ((True, ids[: settings.train]), (False, ids[settings.train :])):
        # Rounding the cumulative sum keeps each kind within one tile of its share.
        borders = np.rint(np.cumsum(list(SHARES.values())) * len(tiles)).astype(int)
        for kind, begin, end in zip(SHARES, [0, *borders[:-1]], borders, strict=True):
            places[kind] += [_Place(tile, labelled) for tile in tiles[begin:end]]
    for unfilled in places.values():
        rng.shuffle(unfilled)
    # Ids are random, so their order within a part says nothing about the kind.
    return places, sorted(ids[: settings.train]) + sorted(ids[settings.train :])


def _survey(places: dict[str, list[_Place]], seed: int) -> Iterator[list[tuple[_Place, SurveyTile]]]:
    """Fill each place: sections are modelled one at a time, until there are enough tiles of each kind."""
    rng = np.random.default_rng([seed, 1])
    if constant := places.pop(CONSTANT):
        yield [(place, constant_tile(rng)) for place in constant]
    number = 0
    while any(places.values()):
        rng = np.random.default_rng([seed, 2, number])
        number += 1
        room = {kind: min(len(unfilled), PER_SECTION * (1 + (kind == EMPTY))) for kind, unfilled in places.items()}
        batch = []
        for tile in cut_tiles(model_section(rng), rng):
            kind, mask = kind_of(tile.mask), tile.mask
            if room[BANDS] and (bands := vertical_bands(mask)) is not None and rng.random() < 0.25:
                kind, mask = BANDS, bands
            if kind and room[kind]:
                room[kind] -= 1
                batch.append((places[kind].pop(), SurveyTile(tile.image, mask, tile.depth)))
        if batch:
            yield batch


def _write_png(path: Path, image: np.ndarray) -> None:
    # Not cv2.imwrite, which only returns False where the disk is full. Not durable: syncing thousands of files takes
    # minutes, and the hash in the manifest finds what the disk loses later.
    disk.write(path, cv2.imencode(".png", image)[1].tobytes(), durable=False)


def _write_csv(path: Path, header: tuple[str, str], rows: list[tuple[str, object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    disk.write(path, text.getvalue().encode())
