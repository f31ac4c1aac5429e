"""Decode the tiles once, into arrays and tables, and check every one of them."""

from __future__ import annotations

import time

from pipeline import artifacts
from pipeline.artifacts import Artifact, Layout, results
from pipeline.config.added import tile_size
from pipeline.data.files import TILE_FILES
from pipeline.stages import download
from pipeline.stages.stage import Context, Stage
from pipeline.system.progress import Progress, echo


def artifact(layout: Layout) -> Artifact:
    """Decoded tiles as arrays and tables."""
    return Artifact(
        name="prepare",
        stage="prepare",
        folder=layout.tiles_folder,
        manifest_name="manifest.json",
        outputs=TILE_FILES,
        settings=tile_size(),
        inputs=(download.artifact(layout),),
        result=results.Prepared,
        lock_wait=600.0,
    )


def make(context: Context) -> None:
    """Fill ``data/<dataset>/tiles``."""
    from pipeline.data.decode import decode_tiles

    decoded, started = artifact(context.layout), time.monotonic()
    with artifacts.replacing(decoded) as folder:
        seen = artifacts.inputs_now(decoded)
        with Progress("decode", 1, "tiles") as progress:
            summary = decode_tiles(context.layout.raw_folder, folder, progress)
        artifacts.commit(decoded, summary, started, at=folder, seen=seen)
    echo(
        f"prepare: {summary['train']:,} labelled tiles ({summary['empty']:.0%} without salt, mean coverage "
        f"{summary['coverage']:.2f}, {summary['constant']} constant, {summary['vertical']} with a vertical mask) "
        f"and {summary['test']:,} test tiles"
    )


STAGE = Stage(
    name="prepare",
    help="decode and check the tiles, once",
    artifacts=lambda context: [artifact(context.layout)],
    make=make,
    shared=True,
    owns_folder=True,
)
