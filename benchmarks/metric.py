"""The score, the search for threshold and smallest area, and run-length codes."""

from __future__ import annotations

import numpy as np

from benchmarks import made_up, peers
from benchmarks.rows import Row, seconds, versus
from pipeline.data import rle
from pipeline.scoring import metric, thresholding

TITLE = "Metric and run-length codes"


def measure(quick: bool = False) -> list[Row]:
    labelled, everything = (200, 400) if quick else (4000, 18_000)
    masks = made_up.masks(everything)
    images = made_up.images(masks)
    truth, found = masks[:labelled], images[:labelled]
    thresholds, areas = np.arange(1, 51) / 51, list(range(0, 200, 10))
    ours = seconds(lambda: thresholding.search(thresholding.count(found, truth), list(thresholds), areas))
    # The usual loop over all tiles would take hours; its time is extrapolated from a part of them.
    part = 20 if quick else 100
    loop = seconds(lambda: peers.usual_search(found[:part], truth[:part], thresholds[24:26], areas[:2]), runs=3)
    loop *= (labelled / part) * (len(thresholds) / 2) * (len(areas) / 2)
    rows = [
        Row(f"search of 50 thresholds x 20 areas on {labelled:,} tiles", f"{ours:.3f} s", "under 1 s", ours < 1),
        Row(
            "the usual histogram loop on the same, against ours",
            f"{loop / ours:,.0f} x as long",
            "100 x or more",
            loop / ours >= 100,
            f"measured on {part} tiles, 2 thresholds, 2 areas, and multiplied up",
        ),
        Row(
            f"masks of {everything:,} tiles at one threshold and smallest area, and their score",
            f"{seconds(lambda: metric.score(thresholding.apply(images, 0.5, 20), masks)):.3f} s",
        ),
    ]
    return rows + _codes(masks)


def _codes(masks: np.ndarray) -> list[Row]:
    texts = rle.encode(masks)
    coco = peers.pycocotools()
    if coco is None:
        return [Row("encoding", f"{seconds(lambda: rle.encode(masks)):.3f} s", note="pycocotools is not installed")]
    # It is fastest on one Fortran-ordered array, tiles last. Converting the masks to that order is not timed.
    ordered = np.asfortranarray(masks.transpose(1, 2, 0))
    encode, theirs = versus([lambda: rle.encode(masks), lambda: coco.encode(ordered)])
    codes = coco.encode(ordered)
    decode, theirs_back = versus([lambda: rle.decode(texts, 101, 101), lambda: coco.decode(codes)])
    return [
        Row(
            f"encode {len(masks):,} masks, pycocotools' time against ours",
            f"{theirs / encode:.2f} x ({encode:.3f} s ours)",
            "1 x or more",
            theirs >= encode,
            "it writes its own denser code, not the competition's text",
        ),
        Row(
            f"decode {len(masks):,} masks, pycocotools' time against ours",
            f"{theirs_back / decode:.2f} x ({decode:.3f} s ours)",
            "1 x or more",
            theirs_back >= decode,
            "it reads its own code, not text",
        ),
    ]
