"""Decoding the tiles: all cores, and nothing but decoding."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from benchmarks.rows import Row, versus
from pipeline.config import SurveySettings
from pipeline.data.decode import decode_tiles
from pipeline.data.sources.synthetic import write_survey
from pipeline.system import machine

TITLE = "Preparing"


def measure(quick: bool = False) -> list[Row]:
    labelled, test = (20, 20) if quick else (2000, 9000)
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "tiles"
        raw.mkdir()
        out.mkdir()
        write_survey(raw, SurveySettings(train=labelled, test=test))
        paths = sorted(raw.rglob("*.png"))
        contents = [np.frombuffer(path.read_bytes(), np.uint8) for path in paths]
        cores = machine.cores()
        started = time.process_time(), time.perf_counter()
        decode_tiles(raw, out)
        busy = (time.process_time() - started[0]) / (time.perf_counter() - started[1])
        whole, bare = versus([lambda: decode_tiles(raw, out), lambda: _bare(contents, cores)], 1 if quick else 5)
    return [
        Row(
            f"decode and check {len(paths):,} PNGs, against decoding alone on all cores",
            f"{whole / bare:.2f} x ({len(paths) / whole:,.0f} PNGs/s)",
            note="the rest is reading files, comparing masks with train.csv, writing and hashing",
        ),
        Row("cores that it keeps busy", f"{busy:.2f} of {cores}", f"more than {0.75 * cores:g}", busy > 0.75 * cores),
    ]


def _bare(contents: list[np.ndarray], cores: int) -> None:
    def some(first: int) -> None:
        for content in contents[first : first + 64]:
            cv2.imdecode(content, cv2.IMREAD_UNCHANGED)

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(some, range(0, len(contents), 64)))
