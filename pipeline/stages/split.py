"""Deal the labelled tiles to folds."""

from __future__ import annotations

import time

from pipeline import artifacts
from pipeline.data import folds, tiles
from pipeline.stages import Context
from pipeline.system.progress import echo


def run(context: Context) -> None:
    """Fill ``data/<dataset>/folds/<way of splitting>``."""
    layout, artifact = context.layout, context.layout.split
    started = time.monotonic()
    with artifacts.replacing(artifact) as folder:
        seen = artifacts.inputs_now(artifact)
        table = tiles.load(layout.tiles.folder).train
        dealt = folds.assign(table, layout.settings.split)
        folds.write(folder / "folds.csv", table, dealt)
        artifacts.commit(artifact, {"tiles": len(table)}, started, at=folder, seen=seen)
    split = layout.settings.split
    echo(f"split: {len(table):,} tiles in {split.folds} folds, stratified by {split.by}")
    echo(folds.balance_text(table, dealt))
