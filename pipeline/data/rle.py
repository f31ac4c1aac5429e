"""The competition's run-length encoding, vectorised over tiles.

A mask is written as ``start length start length ...``: pixels are counted from one, top to bottom and then left to
right; the pairs are sorted and positive, and no pixel is in two runs. A mask without salt is an empty text. Source:
https://www.kaggle.com/competitions/tgs-salt-identification-challenge/overview/evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pipeline.config import TILE, UserError
from pipeline.scoring.chunks import chunks

_NUMBER = re.compile(r"[1-9][0-9]*")
_NOT_POSITIVE = re.compile(r"0+|-[0-9]+")


def encode(masks: np.ndarray) -> list[str]:
    """Run-length encoding of masks.

    Args:
        masks: (n, height, width) bool or integer; every value but 0 is salt.

    Returns:
        n texts; that of a mask without salt is empty.

    Example:
        >>> encode(np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]]]))
        ['2 3', '']
    """
    if masks.ndim != 3:
        raise ValueError(f"masks have shape {masks.shape}, not (tiles, height, width)")
    # Looking a number up is several times faster than formatting it. Each number has two words: one for within a text
    # and one for its end. All words have one size, padded with zeros: eight bytes for tiles of the competition, which
    # NumPy copies as one number.
    numbers = range(masks.shape[1] * masks.shape[2] + 1)
    words = np.array([f"{number}{end}" for end in " \n" for number in numbers], f"S{max(8, len(str(numbers[-1])) + 1)}")
    words = words.view(np.uint64) if words.itemsize == 8 else words
    texts: list[str] = []
    for part in chunks(len(masks)):
        chunk = masks[part]
        tiles, starts, lengths = _runs(chunk)
        indices = np.stack([starts + 1, lengths], axis=1).ravel()
        runs = np.bincount(tiles, minlength=len(chunk))
        indices[2 * np.cumsum(runs)[runs > 0] - 1] += len(numbers)
        lines = iter(words[indices].tobytes().translate(None, b"\0").decode("ascii").split("\n"))
        texts += [next(lines) if count else "" for count in runs.tolist()]
    return texts


def decode(
    texts: Sequence[str | float | None],
    height: int = TILE,
    width: int = TILE,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """Masks of run-length encoded texts.

    Args:
        texts: n texts; an empty text, None and NaN mean a mask without salt.
        height: of a tile, in pixels.
        width: of a tile, in pixels.
        names: ids of the tiles, for error messages; by default they name ``row 0``, ``row 1`` ...

    Returns:
        (n, height, width) uint8, 1 where salt is.

    Raises:
        UserError: a text is malformed; the message names the first such text and says why.
    """
    masks = np.empty((len(texts), height, width), np.uint8)
    parts = list(chunks(len(texts)))
    paint = _Painter(height, parts[0].stop if parts else 0, width)
    for part in parts:
        plain = ["" if _is_missing(text) else text for text in texts[part]]
        runs = _parse(plain, height * width)
        if runs is None:
            raise _refusal(plain, height, width, part.start, names)
        paint(*runs, masks[part])
    return masks


def _refusal(
    texts: Sequence[str | float | None], height: int, width: int, first: int, names: Sequence[str] | None
) -> UserError:
    """The error for the first malformed one of some texts; the first text is in row ``first``."""
    for row, text in enumerate(texts, start=first):
        if error := check(text, height, width):
            name = f"row {row}" if names is None else f"tile {names[row]}"
            return UserError(f"run-length encoding of {name}: {error}; correct the file, or fetch it again")
    raise AssertionError("_parse refuses a run-length encoding that check accepts")


def check(text: str | float | None, height: int, width: int) -> str | None:
    """Return why a text is not a run-length encoding of a mask of this size; None if it is one.

    Args:
        text: one cell of the column ``rle_mask``; an empty text, None and NaN mean a mask without salt.
        height: of a tile, in pixels.
        width: of a tile, in pixels.
    """
    if _is_missing(text):
        return None
    if not isinstance(text, str):
        return f"it is a {type(text).__name__}, not a text"
    tokens = [token for token in text.split(" ") if token]
    for token in tokens:
        if not _NUMBER.fullmatch(token):
            return f"{_shown(token)} is not {'positive' if _NOT_POSITIVE.fullmatch(token) else 'a whole number'}"
    if len(tokens) % 2:
        return f"it has an odd count of numbers ({len(tokens)}), and a start without a length is no run"
    pixels, end = height * width, 1
    for first, second in zip(tokens[::2], tokens[1::2], strict=True):
        # A number with more digits than the last pixel's is outside, however long; int() refuses very long ones.
        if max(len(first), len(second)) > len(str(pixels)) or int(first) + int(second) - 1 > pixels:
            return f"the run {_shown(first)} {_shown(second)} leaves the tile, which has {pixels} pixels"
        if int(first) < end:
            return f"the run {first} {second} starts before pixel {end}: runs must be sorted and must not overlap"
        end = int(first) + int(second)
    return None


def _is_missing(text: object) -> bool:
    return text is None or (isinstance(text, float) and text != text)


def _shown(token: str) -> str:
    """A token, shortened and in ASCII, for a one-line message."""
    return ascii(token if len(token) <= 20 else token[:20] + "...")


def _runs(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tile, start (from zero) and length of each run of a chunk of masks, in order."""
    _, height, width = masks.shape
    stride = height * width + 1
    salt = masks if masks.dtype == bool else masks != 0
    # Runs go down the columns, but memory goes along the rows. Finding the changes in memory's order and sorting them
    # takes a fraction of the time that transposing the masks takes.
    changed = np.empty(masks.shape, bool)  # whether a pixel differs from the one before it in the order of runs
    np.not_equal(salt[:, 1:], salt[:, :-1], out=changed[:, 1:])
    np.not_equal(salt[:, 0, 1:], salt[:, -1, :-1], out=changed[:, 0, 1:])
    changed[:, 0, 0] = salt[:, 0, 0]
    places = np.flatnonzero(changed)
    before = places // (height * width)  # NumPy's division by a scalar is fast, its remainder is not
    downwards = np.arange(height * width).reshape(width, height).T.ravel()  # place in memory -> place in a run
    places = before * stride + downwards[places - before * (height * width)]
    # A run that contains a tile's last pixel ends after it.
    open_ended = np.flatnonzero(salt[:, -1, -1]) * stride + stride - 1
    changes = np.sort(np.concatenate([places, open_ended]))
    starts, ends = changes[::2], changes[1::2]
    tiles = starts // stride
    return tiles, starts - tiles * stride, ends - starts


def _parse(texts: Sequence[object], pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Tile, start (from zero) and stop of each run of well-formed texts, in order; None if ``check`` refuses any.

    Works on the bytes of all texts in one array.
    """
    strings = [text for text in texts if isinstance(text, str)]
    if len(strings) < len(texts):
        return None
    encoded = "\n".join(["", *strings, ""]).encode("ascii", "replace")
    if encoded.translate(None, b"0123456789 \n"):
        return None
    data = np.frombuffer(encoded, np.uint8)
    digit, breaks = data >= ord("0"), np.flatnonzero(data == ord("\n"))
    before = np.flatnonzero(digit[1:] > digit[:-1])  # the byte before each number
    counts = np.diff(np.searchsorted(before, breaks))  # of the numbers of each text
    if len(counts) != len(texts) or (counts % 2).any() or (data[before + 1] == ord("0")).any():
        return None
    values = np.fromstring(encoded.strip(), np.int64, sep=" ")  # limits a number that is too large for int64
    if (values > pixels).any():
        return None
    tiles = np.repeat(np.arange(len(texts)), counts // 2)
    starts = values[::2] - 1
    stops = starts + values[1::2]
    if (stops > pixels).any() or ((starts[1:] < stops[:-1]) & (tiles[1:] == tiles[:-1])).any():
        return None
    return tiles, starts, stops


class _Painter:
    """Paints the runs of a chunk of masks.

    Marks where runs start and stop; passes the marks on, down each column and from its end to the columns after it. One
    row of all tiles at a time, this takes a fraction of the time that painting columns and transposing them takes.
    """

    def __init__(self, height: int, count: int, width: int) -> None:
        self._rows = np.empty((height, count, width), np.uint8)  # kept, because new memory takes time
        across = np.arange(height)[:, None] * self._rows[0].size + np.arange(width)
        self._places = across.T.ravel()  # place of a tile's pixel in a run -> place in memory

    def __call__(self, tiles: np.ndarray, starts: np.ndarray, stops: np.ndarray, masks: np.ndarray) -> None:
        """Paint runs into ``masks``, (tiles, height, width) uint8."""
        rows = self._rows
        rows[...] = 0
        marks, first = rows.reshape(-1), tiles * masks.shape[2]
        marks[first + self._places[starts]] = 1
        inside = stops < len(self._places)
        marks[first[inside] + self._places[stops[inside]]] ^= 1  # a run may start where the one before it stops
        for above, row in pairwise(rows):
            row ^= above
        before = np.zeros_like(rows[0])  # whether a column starts inside a run
        np.bitwise_xor.accumulate(rows[-1, :, :-1], axis=1, out=before[:, 1:])
        count = len(masks)
        np.bitwise_xor(rows[:, :count], before[:count], out=masks.transpose(1, 0, 2))
