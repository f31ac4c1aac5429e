"""Decode the tiles once, into arrays and tables, and check every one of them."""

from __future__ import annotations

import time

from pipeline import artifacts
from pipeline.data.decode import decode_tiles
from pipeline.stages import Context
from pipeline.system.progress import Progress, echo


def run(context: Context) -> None:
    """Fill ``data/<dataset>/tiles``."""
    layout, artifact = context.layout, context.layout.tiles
    started = time.monotonic()
    with artifacts.replacing(artifact) as folder:
        seen = artifacts.inputs_now(artifact)
        with Progress("decode", 1, "tiles") as progress:
            summary = decode_tiles(layout.raw.folder, folder, progress)
        artifacts.commit(artifact, summary, started, at=folder, seen=seen)
    echo(
        f"prepare: {summary['train']:,} labelled tiles ({summary['empty']:.0%} without salt, mean coverage "
        f"{summary['coverage']:.2f}, {summary['constant']} constant, {summary['vertical']} with a vertical mask) "
        f"and {summary['test']:,} test tiles"
    )
