"""Check and decode one PNG of the competition.

The structure is checked before OpenCV decodes it: OpenCV's versions differ in what they make of a damaged file (some
return half an image), and an image may unpack to gigabytes. Pillow's ``verify`` makes the same checks, but takes five
times as long (88 against 16 microseconds) and holds Python's lock, for which all decoding threads wait.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from pipeline.config import TILE

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode_image(content: bytes) -> tuple[np.ndarray | None, str]:
    """Decode the PNG of an image.

    Grey, RGB and RGBA are accepted where they are grey (transparency is ignored), and 16-bit values where 8 bits hold
    them without loss.

    Returns:
        (101, 101) uint8 grey values and an empty text; or None and what is wrong.
    """
    pixels, error = _decode_grey(content)
    if pixels is not None and pixels.dtype == np.uint16:
        pixels, remainder = np.divmod(pixels, 257)
        if remainder.any():
            return None, "has 16-bit grey values that 8 bits cannot hold"
        pixels = pixels.astype(np.uint8)
    return pixels, error


def decode_mask(content: bytes) -> tuple[np.ndarray | None, str]:
    """Decode the PNG of a mask: 0, and where salt is the largest value of its 8 or 16 bits, or 1 in the whole mask.

    A mask with both is refused. That 1 is salt, and not what scaling has left of a border, is checked like every mask
    against the run lengths in the table of labelled tiles.

    Returns:
        (101, 101) uint8 of 0 and 1, and an empty text; or None and what is wrong.
    """
    pixels, error = _decode_grey(content)
    if pixels is None:
        return None, error
    largest = np.iinfo(pixels.dtype).max
    top = 1 if pixels.max() == 1 else largest
    salt = pixels == top
    others = pixels[(pixels != 0) & ~salt]
    if others.size:
        return None, f"is a mask with the value {others[0]}, not only 0 and {largest}, or only 0 and 1"
    return salt.astype(np.uint8), ""


def _decode_grey(content: bytes) -> tuple[np.ndarray | None, str]:
    """(101, 101) uint8 or uint16 of a grey PNG, or None and what is wrong with it."""
    import cv2

    error = _structure_error(content)
    if error:
        return None, error
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        return None, "is a PNG that cannot be decoded"
    if pixels.ndim == 3:
        # Split first: comparing interleaved channels takes a quarter as long as decoding.
        grey, *others = cv2.split(pixels)[:3]
        if not all(np.array_equal(grey, other) for other in others):
            return None, "is in colour, not grey"
        pixels = grey
    return pixels, ""


def _structure_error(content: bytes) -> str:
    """What is wrong with a PNG's chunks, their checksums or its size in pixels; empty where nothing is."""
    if not content:
        return "is an empty file"
    if not content.startswith(_SIGNATURE):
        return "is not a PNG"
    start = len(_SIGNATURE)
    while start < len(content):
        # A chunk: length of its data, type, data, CRC-32 of type and data.
        head = content[start : start + 8]
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        body, crc = content[start + 4 : start + 8 + length], content[start + 8 + length : start + 12 + length]
        if len(crc) < 4:
            break
        if zlib.crc32(body) != int.from_bytes(crc, "big"):
            return "is damaged: a checksum in it does not match"
        if start == len(_SIGNATURE):
            if kind != b"IHDR" or length != 13:
                return "is damaged: its header is missing"
            width, height = struct.unpack(">II", body[4:12])
            if (width, height) != (TILE, TILE):
                return f"has {width}x{height} pixels, not {TILE}x{TILE}"
        if kind == b"IEND":
            return ""
        start += 12 + length
    return "is cut off: the end of the PNG is missing"
