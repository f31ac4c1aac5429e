"""Split the labelled tiles into folds, stratified by depth."""

from __future__ import annotations

import time

from pipeline import artifacts
from pipeline.artifacts import Artifact, Layout
from pipeline.config import stored
from pipeline.data.files import FOLDS, SECTIONS
from pipeline.stages import mosaic, prepare
from pipeline.stages.stage import Context, Stage
from pipeline.system.progress import echo


def artifact(layout: Layout) -> Artifact:
    """The fold of each labelled tile. Each way of splitting has its own folder, so that several can be compared."""
    return Artifact(
        name="split",
        stage="split",
        folder=layout.split_folder,
        manifest_name="manifest.json",
        outputs=(FOLDS,),
        settings={"split": stored(layout.settings.split)},
        inputs=(prepare.artifact(layout), *([mosaic.artifact(layout)] if grouped(layout) else [])),
        lock_wait=600.0,
    )


def grouped(layout: Layout) -> bool:
    """Whether tiles that were cut next to each other are in one fold."""
    return layout.settings.split.group == "mosaic"


def make(context: Context) -> None:
    """Fill ``data/<dataset>/folds/<way of splitting>``."""
    from pipeline.data import folds, tiles
    from pipeline.data.fold_balance import balance_text
    from pipeline.data.section_tables import section_of
    from pipeline.data.stratify import assign_folds

    layout, assigned, started = context.layout, artifact(context.layout), time.monotonic()
    with artifacts.replacing(assigned) as folder:
        seen = artifacts.inputs_now(assigned)
        table = tiles.load(layout.tiles_folder).train
        groups = section_of(mosaic.artifact(layout).folder / SECTIONS, [*table["id"]]) if grouped(layout) else None
        fold_of_tile = assign_folds(table, layout.settings.split, groups)
        folds.write(folder / assigned.outputs[0], table, fold_of_tile)
        artifacts.commit(assigned, {"tiles": len(table)}, started, at=folder, seen=seen)
    split = layout.settings.split
    grouping = ", neighbours together" if grouped(layout) else ""
    echo(f"split: {len(table):,} tiles in {split.folds} folds, stratified by {split.by}{grouping}")
    echo(balance_text(table, fold_of_tile))


STAGE = Stage(
    name="split",
    help="split the labelled tiles into depth-stratified folds",
    artifacts=lambda context: [artifact(context.layout)],
    make=make,
    shared=True,
    owns_folder=True,
)
