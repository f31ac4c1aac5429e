"""Measure what the issue of speed asks of the small parts: ``make bench``.

Prints medians over several runs of RLE, metric and threshold search on made-up masks, and of a command with nothing to
do. Run it on an idle machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from pipeline import metric, rle

RUNS = 5


def seconds(work: Callable[[], object]) -> float:
    """Median wall time of some runs, after one that does not count."""
    work()
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def made_up_masks(count: int, seed: int = 0) -> np.ndarray:
    """(count, 101, 101) uint8: 39 % empty, the others salt below a random curve."""
    draw = np.random.default_rng(seed)
    columns, rows = np.arange(101), np.arange(101)[:, None]
    masks = np.zeros((count, 101, 101), np.uint8)
    for mask in masks[draw.random(count) > 0.39]:
        top = 50 + 40 * np.sin(columns / draw.uniform(8, 40) + draw.uniform(0, 6)) + draw.normal(0, 20)
        mask[:] = rows > top
    return masks


def probabilities(masks: np.ndarray, seed: int = 1) -> np.ndarray:
    """Made-up predictions of masks: (n, 101, 101) uint8."""
    noise = np.random.default_rng(seed).normal(0, 45, masks.shape).astype(np.float32)
    return np.clip(70 + 115 * masks + noise, 0, 255).astype(np.uint8)


def main() -> None:
    masks = made_up_masks(18_000)
    texts = rle.encode(masks)
    shifted = np.roll(masks, 3, axis=1)
    labelled, found = masks[:4000], probabilities(masks[:4000])
    groups = np.arange(4000) % 5
    print(f"{sys.platform}, Python {sys.version.split()[0]}, NumPy {np.__version__}; median of {RUNS} runs")
    rows: list[tuple[str, Callable[[], object]]] = [
        ("encode 18,000 masks", lambda: rle.encode(masks)),
        ("decode 18,000 masks", lambda: rle.decode(texts, 101, 101)),
        ("score 18,000 masks at one threshold", lambda: metric.score(shifted, masks)),
        ("search 50 thresholds x 20 areas, 4,000 tiles", lambda: metric.search(metric.count(found, labelled))),
        ("cross-fit five folds, 4,000 tiles", lambda: metric.cross_fitted(metric.count(found, labelled), groups)),
    ]
    for name, work in rows:
        print(f"  {name:<46} {seconds(work):7.3f} s")
    with tempfile.TemporaryDirectory() as root:
        status = [sys.executable, "-m", "pipeline", "status", "--root", root]
        elapsed = seconds(lambda: subprocess.run(status, stdout=subprocess.DEVNULL, check=True))
        print(f"  {'python -m pipeline status':<46} {elapsed:7.3f} s")


if __name__ == "__main__":
    main()
