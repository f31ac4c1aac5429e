"""The whole chain on an archive of real tiles: what each stage takes at the competition's size.

    python -m benchmarks archive --archive tiles.zip

One fold of the smallest network, that of ``demo``, trained for one epoch: the stages around the network
do not depend on it, and what a network takes for a tile is in the other tables.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.child import Cost, run
from benchmarks.rows import Row

TITLE = "The competition's size"
EXPERIMENT = "demo"
STAGES = ("download", "prepare", "mosaic", "split", "train", "predict", "submit")
EPOCHS = 1


def measure(archive: Path, experiment: str = EXPERIMENT) -> list[Row]:
    """Run every stage once on an archive.

    Args:
        archive: zip or folder with the competition's files.
        experiment: whose first fold is trained.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        common = ["--root", folder, "--dataset", "real", "--experiment", experiment, "--folds", "0"]
        common += ["--archive", str(archive), "--set", f"train.epochs={EPOCHS} train.late_loss="]
        costs = {stage: run([stage, *common, *(["--dry-run"] if stage == "submit" else [])]) for stage in STAGES}
        tiles = root / "data/real/tiles"
        labelled, test = (len(np.load(tiles / f"{part}_images.npy", mmap_mode="r")) for part in ("train", "test"))
        with (root / f"submissions/real/{experiment}.csv").open(newline="") as stream:
            lines = sum(1 for _ in csv.DictReader(stream))
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 2**20
    work = {
        "download": f"{labelled + test:,} tiles unpacked and checked",
        "prepare": f"{labelled + test:,} tiles decoded",
        "mosaic": f"{labelled + test:,} tiles",
        "split": f"{labelled:,} tiles",
        "train": f"one fold of `{experiment}`, {EPOCHS} epoch; score and page",
        "predict": f"one fold, {test:,} tiles, two views",
        "submit": f"{lines:,} rows, checked",
    }
    rows = [_row(stage, work[stage], costs[stage]) for stage in STAGES]
    return [*rows, Row("on disk at the end", f"{size:,.0f} MiB")]


def _row(stage: str, work: str, cost: Cost) -> Row:
    return Row(f"{stage}: {work}", f"{cost.core_seconds:,.0f} core-seconds; own peak memory {cost.memory:,.0f} MiB")
