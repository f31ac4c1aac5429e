"""Split the labelled tiles into folds."""

from __future__ import annotations

import time

from pipeline import artifacts
from pipeline.data import folds, tiles
from pipeline.data.files import FOLDS
from pipeline.data.fold_balance import balance_text
from pipeline.data.stratify import assign_folds
from pipeline.stages import Context
from pipeline.system.progress import echo


def run(context: Context) -> None:
    """Fill ``data/<dataset>/folds/<way of splitting>``."""
    layout, artifact = context.layout, context.layout.split
    started = time.monotonic()
    with artifacts.replacing(artifact) as folder:
        seen = artifacts.inputs_now(artifact)
        table = tiles.load(layout.tiles.folder).train
        fold_of = assign_folds(table, layout.settings.split)
        folds.write(folder / FOLDS, table, fold_of)
        artifacts.commit(artifact, {"tiles": len(table)}, started, at=folder, seen=seen)
    split = layout.settings.split
    echo(f"split: {len(table):,} tiles in {split.folds} folds, stratified by {split.by}")
    echo(balance_text(table, fold_of))
