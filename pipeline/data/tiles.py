"""Tiles: decode images, masks and depths into arrays and tables once, and check every one of them.

The competition's images are 101x101 pixels of seismic amplitude, grey but saved as RGB; its masks are 16-bit PNG of 0
and 65535; its depths are in feet (https://www.kaggle.com/competitions/tgs-salt-identification-challenge/data). A
error found here names its tile; found later, it would be a strange score.
"""

from __future__ import annotations

import os
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import mapped
from pipeline.config import TILE, UserError
from pipeline.data import rle, tables
from pipeline.scoring.images import is_constant
from pipeline.system import disk, machine

TRAIN_COLUMNS = {"id": str, "depth": float, "coverage": float, "constant": bool, "vertical": bool}
TEST_COLUMNS = {"id": str, "depth": float, "constant": bool}

_CHUNK = 64
_SHOWN = 3
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Tiles:
    """Decoded tiles; the arrays are memory-mapped, read-only."""

    train_images: np.ndarray
    """(n, 101, 101) uint8 grey values."""
    train_masks: np.ndarray
    """(n, 101, 101) uint8, 1 where salt is."""
    test_images: np.ndarray
    """(m, 101, 101) uint8 grey values."""
    train: pd.DataFrame
    """n rows, sorted by id: ``id``, ``depth`` in feet, ``coverage`` (share of salt pixels), ``constant`` (the image
    has one grey value), ``vertical`` (the mask consists of vertical bands)."""
    test: pd.DataFrame
    """m rows in the order of the sample submission: ``id``, ``depth`` in feet, ``constant``."""


class TileErrors:
    """TileErrors of single tiles, collected so that one run tells them all."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def add(self, tile: str, error: str) -> None:
        self.found.append((tile, error))

    def raise_if_any(self, where: Path) -> None:
        """Raise one line that names the first tiles.

        Raises:
            UserError: there is an error.
        """
        if not self.found:
            return
        shown = "; ".join(f"{_shown(tile)}: {error}" for tile, error in self.found[:_SHOWN])
        more = len(self.found) - _SHOWN
        rest = f"; and {more:,} more" if more > 0 else ""
        raise UserError(f"{where}: {shown}{rest} - fix these files at their source and download again")


def decode(raw: Path, out: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Decode the competition's files into memory-mapped arrays and tables.

    Args:
        raw: ``train.csv``, ``depths.csv``, ``sample_submission.csv``, ``train/images``, ``train/masks`` and
            ``test/images``.
        out: an existing folder; it gets ``train_images.npy``, ``train_masks.npy``, ``test_images.npy``, ``train.csv``
            and ``test.csv``, as ``Tiles`` describes them.
        progress: called with (tiles decoded, tiles in all).

    Returns:
        ``train`` and ``test`` (numbers of tiles), and of the training tiles ``empty`` (share without salt),
        ``coverage`` (its mean), ``constant`` and ``vertical`` (numbers of tiles).

    Raises:
        UserError: a table or a tile is wrong. The line names the first tiles and counts the rest.
    """
    errors = TileErrors()
    train, test = _read_tables(raw, errors)
    _check_room(out, train, test)
    files: list[tuple[str, str, np.ndarray, bool]] = []
    arrays = {}
    for name, part, table in (
        ("train_images", "train/images", train),
        ("train_masks", "train/masks", train),
        ("test_images", "test/images", test),
    ):
        array = mapped(out / f"{name}.npy", (len(table), TILE, TILE))
        arrays[name] = array
        present = _stems(raw / part)
        _compare(table["id"], present, part, errors)
        files += [
            (f"{part}/{tile}.png", tile, array[row], part == "train/masks")
            for row, tile in enumerate(table["id"])
            if tile in present
        ]
    _decode_files(raw, files, errors, progress)
    _check_encoding(train, arrays["train_masks"], errors)
    errors.raise_if_any(raw)

    masks = arrays["train_masks"]
    train["coverage"] = masks.mean(axis=(1, 2))
    train["constant"], test["constant"] = is_constant(arrays["train_images"]), is_constant(arrays["test_images"])
    train["vertical"] = _vertical(masks)
    for name, array in arrays.items():
        with disk.naming(out / f"{name}.npy"):
            array.flush()
        disk.sync(out / f"{name}.npy")
    for name, table, columns in (("train", train, TRAIN_COLUMNS), ("test", test, TEST_COLUMNS)):
        disk.write(out / f"{name}.csv", table[list(columns)].to_csv(index=False, lineterminator="\n").encode())
    return {
        "train": len(train),
        "test": len(test),
        "empty": float((train["coverage"] == 0).mean()),
        "coverage": float(train["coverage"].mean()),
        "constant": int(train["constant"].sum()),
        "vertical": int(train["vertical"].sum()),
    }


def load(folder: Path) -> Tiles:
    """Open what ``decode`` wrote, without reading the arrays into memory.

    Raises:
        UserError: a file is missing, damaged, or does not fit the others.
    """
    arrays = {name: _map(folder / f"{name}.npy") for name in ("train_images", "train_masks", "test_images")}
    train = _read_own(folder / "train.csv", TRAIN_COLUMNS)
    test = _read_own(folder / "test.csv", TEST_COLUMNS)
    for name, array in arrays.items():
        table = test if name == "test_images" else train
        if array.dtype != np.uint8 or array.shape != (len(table), TILE, TILE):
            raise UserError(
                f"{folder / name}.npy: is {array.dtype} of shape {array.shape}, "
                f"not uint8 of shape {(len(table), TILE, TILE)}; run the stage prepare again"
            )
    return Tiles(**arrays, train=train, test=test)


def decode_image(content: bytes) -> tuple[np.ndarray | None, str]:
    """Decode the PNG of an image.

    Grey, RGB and RGBA are accepted where they are grey (transparency is ignored), and 16-bit values where 8 bits hold
    them without loss.

    Returns:
        (101, 101) uint8 grey values and an empty text; or None and what is wrong.
    """
    pixels, error = _decode_png(content)
    if pixels is not None and pixels.dtype == np.uint16:
        pixels, rest = np.divmod(pixels, 257)
        if rest.any():
            return None, "has 16-bit grey values that 8 bits cannot hold"
        pixels = pixels.astype(np.uint8)
    return pixels, error


def decode_mask(content: bytes) -> tuple[np.ndarray | None, str]:
    """Decode the PNG of a mask: 0, and the largest value of its 8 or 16 bits where salt is.

    Returns:
        (101, 101) uint8 of 0 and 1, and an empty text; or None and what is wrong.
    """
    pixels, error = _decode_png(content)
    if pixels is None:
        return None, error
    top = np.iinfo(pixels.dtype).max
    salt = pixels == top
    strange = pixels[(pixels != 0) & ~salt]
    if strange.size:
        return None, f"is a mask with the value {strange[0]}, not only 0 and {top}"
    return salt.astype(np.uint8), ""


def _decode_png(content: bytes) -> tuple[np.ndarray | None, str]:
    """(101, 101) uint8 or uint16 of a grey PNG, or None and what is wrong with it."""
    import cv2

    error = _png_error(content)
    if error:
        return None, error
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        return None, "is a PNG that cannot be decoded"
    if pixels.ndim == 3:
        # Taken apart first: comparing channels where they lie interleaved takes a quarter as long as decoding.
        grey, *others = cv2.split(pixels)[:3]
        if not all(np.array_equal(grey, other) for other in others):
            return None, "is in colour, not grey"
        pixels = grey
    return pixels, ""


def _png_error(content: bytes) -> str:
    """What the structure of a PNG shows to be wrong, before anything is decoded.

    OpenCV's versions differ in what they make of a damaged file (some return half an image), and an image may unpack
    to gigabytes.
    """
    if not content:
        return "is an empty file"
    if not content.startswith(_SIGNATURE):
        return "is not a PNG"
    place = len(_SIGNATURE)
    while place < len(content):
        head = content[place : place + 8]
        if len(head) < 8:
            break
        size, kind = struct.unpack(">I4s", head)
        body, check = content[place + 4 : place + 8 + size], content[place + 8 + size : place + 12 + size]
        if len(check) < 4:
            break
        if zlib.crc32(body) != int.from_bytes(check, "big"):
            return "is damaged: a checksum in it does not match"
        if place == len(_SIGNATURE):
            if kind != b"IHDR" or size != 13:
                return "is damaged: its header is missing"
            width, height = struct.unpack(">II", body[4:12])
            if (width, height) != (TILE, TILE):
                return f"has {width}x{height} pixels, not {TILE}x{TILE}"
        if kind == b"IEND":
            return ""
        place += 12 + size
    return "is cut off: the end of the PNG is missing"


def _read_tables(raw: Path, errors: TileErrors) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of training tiles (``id``, ``rle_mask``, ``depth``) and of test tiles (``id``, ``depth``)."""
    train = _read_csv(raw / "train.csv", ["id", "rle_mask"], errors)
    test = _read_csv(raw / "sample_submission.csv", ["id"], errors)
    depths = _read_csv(raw / "depths.csv", ["id", "z"], errors)
    for tile in train.loc[train["id"].isin(test["id"]), "id"]:
        errors.add(tile, "is listed in both train.csv and sample_submission.csv")
    # Depths of tiles that are not in these files are no error: a subset of the tiles comes with all depths.
    written = dict(zip(depths["id"], depths["z"], strict=True))
    for table in (train, test):
        table["depth"] = [_depth(tile, written.get(tile), errors) for tile in table["id"]]
    return train.sort_values("id", kind="stable", ignore_index=True), test


def _read_csv(path: Path, columns: list[str], errors: TileErrors) -> pd.DataFrame:
    """The wanted columns of a table as text, one row for each id; an id that comes twice is an error."""
    try:
        with warnings.catch_warnings():
            # Rows longer than the header would be shortened with no more than a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = tables.read(
                path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8-sig", index_col=False
            )
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: is not a readable CSV ({reason}); download it again") from None
    except OSError as error:
        if disk.is_failure(error):
            raise
        raise UserError(f"{path}: {error.strerror or error}; run the stage download again") from None
    table = table.rename(columns=str.strip)
    if not table.columns.is_unique:
        raise UserError(f"{path}: is not a readable CSV (it has two columns of one name); download it again")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        there = ", ".join(_shown(column) for column in table.columns[:5])
        raise UserError(f"{path}: lacks the column {', '.join(missing)} (it has {there}); download it again")
    table = table[columns].apply(lambda column: column.str.strip())
    if table.empty:
        raise UserError(f"{path}: lists no tiles; download it again")
    twice = table["id"].duplicated()
    for tile in table.loc[twice, "id"].unique():
        errors.add(tile, f"is listed in {path.name} more than once")
    return table[~twice].reset_index(drop=True)


def _depth(tile: str, text: str | None, errors: TileErrors) -> float:
    """Depth in feet; NaN after an error."""
    if text is None:
        errors.add(tile, "has no depth in depths.csv")
        return np.nan
    try:
        depth = float(text)
    except ValueError:
        depth = np.nan
    if not np.isfinite(depth):
        errors.add(tile, f"has the depth {_shown(text)} in depths.csv, which is not a number")
    elif depth < 0:
        errors.add(tile, f"has the depth {_shown(text)} in depths.csv, which is negative")
    return depth


def _stems(folder: Path) -> set[str]:
    """Names, without the suffix, of the PNG files in a folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name[:-4] for entry in entries if entry.name.endswith(".png")}
    except OSError as error:
        if disk.is_failure(error):
            raise
        raise UserError(f"{folder}: {error.strerror}; run the stage download again") from None


def _compare(ids: pd.Series, present: set[str], part: str, errors: TileErrors) -> None:
    """Compare the ids of a table with the files of a folder."""
    table = "sample_submission.csv" if part.startswith("test") else "train.csv"
    listed = set(ids)
    for tile in ids[~ids.isin(present)]:
        errors.add(tile, f"is listed in {table}, but {part} has no such tile")
    for tile in sorted(present - listed):
        errors.add(tile, f"is in {part}, but not listed in {table}")


def _check_room(out: Path, train: pd.DataFrame, test: pd.DataFrame) -> None:
    # A full disk under a memory-mapped array kills the process with no message.
    needed = (2 * len(train) + len(test)) * TILE * TILE
    free = shutil.disk_usage(out).free
    if free < needed:
        raise UserError(f"{out}: needs {needed / 2**20:,.0f} MiB and the disk has {free / 2**20:,.0f}; free some space")


def _decode_files(
    raw: Path,
    files: list[tuple[str, str, np.ndarray, bool]],
    errors: TileErrors,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Decode PNG files into their rows, on all cores: OpenCV lets go of Python's lock while it decodes.

    A file is its name below ``raw``, its tile, its row, and whether it is a mask. Names are plain text: the threads
    wait for Python's lock, and a path's own class holds it as long as the PNG's checksums take.
    """

    def decode_chunk(begin: int) -> list[tuple[str, str]]:
        chunk = files[begin : begin + _CHUNK]
        told = [(tile, _decode_file(f"{raw}{os.sep}", name, row, is_mask)) for name, tile, row, is_mask in chunk]
        return [(tile, error) for tile, error in told if error]

    starts = range(0, len(files), _CHUNK)
    found: dict[int, list[tuple[str, str]]] = {}
    with ThreadPoolExecutor(machine.cores()) as pool:
        waiting = {pool.submit(decode_chunk, begin): begin for begin in starts}
        try:
            for count, future in enumerate(as_completed(waiting), start=1):
                found[waiting[future]] = future.result()
                if progress is not None:
                    progress(min(count * _CHUNK, len(files)), len(files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for begin in starts:
        errors.found += found[begin]


def _decode_file(folder: str, name: str, row: np.ndarray, is_mask: bool) -> str:
    """Decode one PNG into ``row``, (101, 101) uint8; returns what is wrong, or an empty text."""
    try:
        with open(folder + name, "rb", buffering=0) as file:  # noqa: PTH123 - see _decode_files
            content = file.read()
    except OSError as error:
        if disk.is_failure(error):
            raise  # the file may be whole
        return f"{'mask' if is_mask else 'image'} cannot be read ({error.strerror})"
    pixels, fault_text = (decode_mask if is_mask else decode_image)(content)
    if pixels is None:
        return f"{name} {fault_text}"
    row[...] = pixels
    return ""


def _check_encoding(train: pd.DataFrame, masks: np.ndarray, errors: TileErrors) -> None:
    """Compare the masks with the run-length encodings in train.csv; tiles that are at error already are left out."""
    known = {tile for tile, _ in errors.found}
    rows = []
    for row, (tile, text) in enumerate(zip(train["id"], train["rle_mask"], strict=True)):
        if tile in known:
            continue
        error = rle.check(text, TILE, TILE)
        if error:
            errors.add(tile, f"its rle_mask in train.csv is wrong: {error}")
        else:
            rows.append(row)
    for chunk in _chunks(np.array(rows, int)):
        texts = train["rle_mask"].iloc[chunk].tolist()
        differs = (rle.decode(texts) != masks[chunk]).sum(axis=(1, 2))
        for wrong in np.flatnonzero(differs):
            tile = train["id"].iloc[chunk[wrong]]
            errors.add(tile, f"its rle_mask in train.csv differs from its mask in {differs[wrong]:,} pixels")


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(rows), rle.CHUNK):
        yield rows[begin : begin + rle.CHUNK]


def _vertical(masks: np.ndarray) -> np.ndarray:
    """(n,) bool: masks with some salt but not only salt, in which every column is all salt or has none."""
    first = masks[:, :1, :]  # (n, 1, width)
    bands = np.array([bool((mask == mask[0]).all()) for mask in masks])
    return bands & (first.min(axis=(1, 2)) != first.max(axis=(1, 2)))


def _map(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        if disk.failure(error):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged"
        raise UserError(f"{path}: cannot be opened ({reason}); run the stage prepare again") from None


def _read_own(path: Path, columns: dict[str, type]) -> pd.DataFrame:
    try:
        # "nan" and "NA" are ids like any other.
        table = tables.read(path, dtype=columns, keep_default_na=False, na_values=[], float_precision="round_trip")
        return table[list(columns)]
    except (OSError, ValueError, KeyError) as error:
        if disk.failure(error):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged"
        raise UserError(f"{path}: cannot be opened ({reason}); run the stage prepare again") from None


def _shown(text: str) -> str:
    """A text of a stranger's as it fits into one line."""
    cut = text if len(text) <= 40 else f"{text[:40]}..."
    return cut if cut.isprintable() and cut.strip() else ascii(cut)
