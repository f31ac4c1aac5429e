"""PNGs of every kind, a made-up download, and a made-up table of labelled tiles."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pipeline.config import UserError
from pipeline.data import rle
from pipeline.data.decode import decode_tiles


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def rgb(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, axis=2)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(rows: bytes, depth: int, colour: int, size: tuple[int, int] = (101, 101), extra: bytes = b"") -> bytes:
    """A PNG written by hand: for the colour types that OpenCV does not write, and for damage with right checksums."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def scanlines(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


class Raw:
    """A made-up download: four training tiles, two test tiles; each test changes something in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder / "raw", folder / "tiles"
        self.out.mkdir(parents=True)
        rng = np.random.default_rng(0)
        self.images = dict(zip(["b", "a", "d", "c"], rng.integers(0, 256, (4, 101, 101), np.uint8), strict=True))
        self.images["d"][:] = 7
        self.masks = {name: np.zeros((101, 101), np.uint8) for name in self.images}
        self.masks["a"][30:, 10:40] = 1
        self.masks["c"][:, 50:60] = 1
        self.masks["d"][:] = 1
        self.tests = dict(zip(["z", "y"], rng.integers(0, 256, (2, 101, 101), np.uint8), strict=True))
        for part, arrays in (("train/images", self.images), ("test/images", self.tests)):
            for name, pixels in arrays.items():
                self.put(f"{part}/{name}.png", png(rgb(pixels)))
        for name, mask in self.masks.items():
            self.put(f"train/masks/{name}.png", png(mask.astype(np.uint16) * 65535))
        texts = dict(zip(self.masks, rle.encode(np.stack(list(self.masks.values()))), strict=True))
        self.put("train.csv", "id,rle_mask\n" + "".join(f"{name},{text}\n" for name, text in texts.items()))
        self.put("depths.csv", "id,z\ny,600\nz,500\nd,400\nc,300\nb,200\na,100\n")
        self.put("sample_submission.csv", "id,rle_mask\nz,1 1\ny,1 1\n")

    def put(self, name: str, content: str | bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        self.put(name, text.replace(old, new, 1))

    def decode(self) -> dict:
        return decode_tiles(self.folder, self.out)

    def error(self) -> str:
        with pytest.raises(UserError) as caught:
            self.decode()
        line = str(caught.value)
        assert "\n" not in line
        return line


GOOD = png(np.arange(101 * 101, dtype=np.uint32).reshape(101, 101).astype(np.uint8))
COLOUR = rgb(np.zeros((101, 101), np.uint8))
COLOUR[5, 5, 1] = 1
BAD_IMAGES = {
    "an empty file": b"",
    "not a PNG": b"GIF89a",
    "cut off": GOOD[: len(GOOD) // 2],
    "cut off: the end": GOOD[:-12],
    "100x101": png(np.zeros((101, 100), np.uint8)),
    "60000x60000": raw_png(b"", 8, 0, (60000, 60000)),
    "a checksum": GOOD[:60] + bytes([GOOD[60] ^ 1]) + GOOD[61:],
    "its header": GOOD[:8] + GOOD[-12:],
    "cannot be decoded": raw_png(scanlines(np.zeros((50, 101), np.uint8)), 8, 0),
    "in colour": png(COLOUR),
    "16-bit grey values": png(np.full((101, 101), 258, np.uint16)),
}


def labelled_tiles(tiles: int, seed: int = 0) -> pd.DataFrame:
    """A made-up table of labelled tiles; two in five hold no salt."""
    rng = np.random.default_rng(seed)
    coverage = rng.integers(1, 10202, tiles) / 10201 * (rng.random(tiles) > 0.4)
    names = [f"tile{number:05d}" for number in rng.permutation(tiles)]
    return pd.DataFrame({"id": names, "depth": rng.integers(50, 960, tiles), "coverage": coverage})
