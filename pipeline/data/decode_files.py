"""The PNG files of the raw tiles: list them against their tables, and decode them on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import UserError
from pipeline.data.files import RAW_TEST_IMAGES, RAW_TRAIN_MASKS, SAMPLE_SUBMISSION_CSV, TRAIN_CSV
from pipeline.data.png import decode_image, decode_mask
from pipeline.data.tile_errors import TileErrors, other_spellings, printable
from pipeline.system import disk, machine

FILES_AT_ONCE = 64
"""Files that a thread decodes in one piece of work."""


@dataclass(frozen=True)
class PngFile:
    """A PNG and the place of its pixels."""

    name: str
    """Below the raw folder, plain text: the methods of ``Path`` hold Python's lock as long as the PNG's checksums."""
    tile: str
    pixels: np.ndarray
    """(101, 101) uint8, to be filled."""
    is_mask: bool


def list_files(raw: Path, part: str, ids: pd.Series, array: np.ndarray, errors: TileErrors) -> list[PngFile]:
    """The PNGs of a folder that its table lists, in the order of the table; every difference is an error.

    Args:
        raw: of the raw tiles.
        part: the folder below it.
        ids: of the table.
        array: (n, 101, 101) uint8, the place of the pixels.
        errors: gets tiles that the folder or the table lacks.
    """
    table = SAMPLE_SUBMISSION_CSV if part == RAW_TEST_IMAGES else TRAIN_CSV
    present = _stems(raw / part)
    missing = ids[~ids.isin(present)]
    for tile, other in zip(missing, other_spellings(missing, present), strict=True):
        hint = f" (its file is {printable(other)}.png: write {printable(other)})" if other else ""
        errors.add(tile, f"is listed in {table}, but {part} has no such tile{hint}")
    for tile in sorted(present - set(ids)):
        errors.add(tile, f"is in {part}, but not listed in {table}")
    return [
        PngFile(f"{part}/{tile}.png", tile, array[row], part == RAW_TRAIN_MASKS)
        for row, tile in enumerate(ids)
        if tile in present
    ]


def _stems(folder: Path) -> set[str]:
    """Names, without the suffix, of the PNG files in a folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name[:-4] for entry in entries if entry.name.endswith(".png")}
    except OSError as error:
        if disk.is_failure(error):
            raise
        raise UserError(f"{folder}: {error.strerror}; run the stage download again") from None


def decode_files(
    raw: Path, files: list[PngFile], errors: TileErrors, progress: Callable[[int, int], None] | None
) -> None:
    """Decode files into their pixels, on all cores: OpenCV releases Python's lock while it decodes."""

    def decode_some(start: int) -> list[tuple[str, str]]:
        results = [(file.tile, _decode_file(f"{raw}{os.sep}", file)) for file in files[start : start + FILES_AT_ONCE]]
        return [(tile, error) for tile, error in results if error]

    starts = range(0, len(files), FILES_AT_ONCE)
    found: dict[int, list[tuple[str, str]]] = {}
    with ThreadPoolExecutor(machine.cores()) as pool:
        pending = {pool.submit(decode_some, start): start for start in starts}
        try:
            for count, future in enumerate(as_completed(pending), start=1):
                found[pending[future]] = future.result()
                if progress is not None:
                    progress(min(count * FILES_AT_ONCE, len(files)), len(files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for start in starts:
        errors.found += found[start]


def _decode_file(folder: str, file: PngFile) -> str:
    """Decode one PNG into its pixels; returns what is wrong, or an empty text."""
    try:
        with open(folder + file.name, "rb", buffering=0) as stream:  # noqa: PTH123 - see PngFile.name
            content = stream.read()
    except OSError as error:
        if disk.is_failure(error):
            raise  # the file may be whole
        return f"{'mask' if file.is_mask else 'image'} cannot be read ({error.strerror})"
    pixels, reason = (decode_mask if file.is_mask else decode_image)(content)
    if pixels is None:
        return f"{file.name} {reason}"
    file.pixels[...] = pixels
    return ""
