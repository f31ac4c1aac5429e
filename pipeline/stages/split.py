"""Deal the labelled tiles to folds."""

from __future__ import annotations

import time

from pipeline import artifacts, folds, tiles
from pipeline.progress import say
from pipeline.stages import Context


def run(context: Context) -> None:
    """Fill ``data/<dataset>/folds/<way of splitting>``."""
    tree, artifact = context.tree, context.tree.split
    started = time.monotonic()
    with artifacts.replacing(artifact) as folder:
        seen = artifacts.inputs_now(artifact)
        table = tiles.load(tree.tiles.folder).train
        dealt = folds.assign(table, tree.settings.split)
        folds.write(folder / "folds.csv", table, dealt)
        artifacts.finish(artifact, {"tiles": len(table)}, started, at=folder, seen=seen)
    split = tree.settings.split
    say(f"split: {len(table):,} tiles in {split.folds} folds, stratified by {split.by}")
    say(folds.balance_text(table, dealt))
