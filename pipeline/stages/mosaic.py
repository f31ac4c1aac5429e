"""Find tiles that were cut next to each other, and assemble the sections that they were cut from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline import artifacts
from pipeline.artifacts import Artifact, Layout
from pipeline.data.files import PAIRS, SECTIONS, SECTIONS_PICTURE
from pipeline.stages import prepare
from pipeline.stages.stage import Context, Stage
from pipeline.system.progress import echo

if TYPE_CHECKING:
    from pipeline.data.tiles import Tiles
    from pipeline.scoring.neighbors import Neighbors


def artifact(layout: Layout) -> Artifact:
    """Pairs of neighbouring tiles, and the place of each tile in its section."""
    return Artifact(
        name="mosaic",
        stage="mosaic",
        folder=layout.mosaic_folder,
        manifest_name="manifest.json",
        outputs=(PAIRS, SECTIONS),
        extras=(SECTIONS_PICTURE,),  # not an output: sections that were found before it existed stay valid
        settings={"split": {"mosaic_ratio": layout.settings.split.mosaic_ratio}},
        inputs=(prepare.artifact(layout),),
        lock_wait=600.0,
    )


def make(context: Context) -> None:
    """Fill ``data/<dataset>/mosaic``."""
    import numpy as np

    from pipeline.data import duplicates, sections, tiles
    from pipeline.data.mosaic import Pairs, find_pairs
    from pipeline.data.section_tables import write_pairs, write_sections
    from pipeline.reporting import section_picture
    from pipeline.system import disk

    layout, assembled, started = context.layout, artifact(context.layout), time.monotonic()
    with artifacts.replacing(assembled) as folder:
        seen = artifacts.inputs_now(assembled)
        store = tiles.load(layout.tiles_folder)
        images = np.concatenate([store.train_images, store.test_images])
        ratio = layout.settings.split.mosaic_ratio
        # Copies of a tile would be each other's second nearest, so that neither of them would have a neighbour.
        originals = duplicates.originals(images)
        at = np.unique(originals)
        each = images if len(at) == len(images) else images[at]
        matched = {axis: find_pairs(each, axis, ratio) for axis in ("vertical", "horizontal")}
        pairs = {axis: Pairs(at[own.first], at[own.second], own.ratio) for axis, own in matched.items()}
        found = sections.assemble(pairs, len(images), originals)
        ids = [*store.train["id"], *store.test["id"]]
        write_pairs(folder / PAIRS, ids, pairs, found)
        write_sections(folder / SECTIONS, ids, found)
        disk.write(folder / SECTIONS_PICTURE, section_picture.draw(images, store.train_masks, found))
        sizes = np.bincount(found.section) if len(ids) else np.zeros(0, int)
        together = int(sizes[sizes > 1].sum())
        result = {
            "vertical": len(pairs["vertical"].ratio),
            "horizontal": len(pairs["horizontal"].ratio),
            "sections": int((sizes > 1).sum()),
            "tiles": together,
        }
        artifacts.commit(assembled, result, started, at=folder, seen=seen)
    echo(
        f"mosaic: {result['vertical']:,} vertical and {result['horizontal']:,} horizontal pairs of neighbours; "
        f"{together:,} of {len(ids):,} tiles in {result['sections']:,} sections of two tiles or more, "
        f"the largest of {int(sizes.max(initial=0))}, drawn in {assembled.folder / SECTIONS_PICTURE}"
    )


STAGE = Stage(
    name="mosaic",
    help="find tiles that were cut next to each other (only by this command, or where a setting needs them)",
    artifacts=lambda context: [artifact(context.layout)] if is_wanted(context) else [],
    make=make,
    shared=True,
    owns_folder=True,
)


def is_wanted(context: Context) -> bool:
    """Whether a command needs the sections: it names the stage, or the folds or the rules are made with them."""
    settings = context.layout.settings
    return context.asked == STAGE.name or settings.split.group == "mosaic" or settings.submit.neighbors


def inputs_of_rules(layout: Layout) -> list[Artifact]:
    """What the rules need besides the tile itself: the sections, where ``submit.neighbors`` is set."""
    return [artifact(layout)] if layout.settings.submit.neighbors else []


def labelled_neighbors(layout: Layout, ids: Sequence[str], store: Tiles) -> Neighbors | None:
    """The labelled neighbours of some tiles, by their ids; None without ``submit.neighbors``."""
    from pipeline.data import section_tables

    if not layout.settings.submit.neighbors:
        return None
    return section_tables.labelled_neighbors(
        artifact(layout).folder / PAIRS, ids, [*store.train["id"]], store.train_masks
    )
