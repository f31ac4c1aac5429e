"""Decode the tiles once, into arrays and tables, and check every one of them."""

from __future__ import annotations

import time

from pipeline import artifacts, tiles
from pipeline.progress import Progress, say
from pipeline.stages import Context


def run(context: Context) -> None:
    """Fill ``data/<dataset>/tiles``."""
    tree, artifact = context.tree, context.tree.tiles
    started = time.monotonic()
    with artifacts.replacing(artifact) as folder:
        seen = artifacts.inputs_now(artifact)
        with Progress("decode", 1, "tiles") as progress:
            summary = tiles.decode(tree.raw.folder, folder, progress)
        artifacts.finish(artifact, summary, started, at=folder, seen=seen)
    say(
        f"prepare: {summary['train']:,} labelled tiles ({summary['empty']:.0%} without salt, mean coverage "
        f"{summary['coverage']:.2f}, {summary['constant']} constant, {summary['vertical']} with a vertical mask) "
        f"and {summary['test']:,} test tiles"
    )
