"""Draw the experiment's page."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.artifacts import Artifact, Layout
from pipeline.stages import mosaic, prepare, provenance, split, train, validate
from pipeline.stages.command_line import command_line
from pipeline.stages.stage import Context, Stage, of_members
from pipeline.system.atomic import write_text
from pipeline.system.progress import echo
from pipeline.training.history import read_history

if TYPE_CHECKING:
    from pipeline.reporting.experiment import Experiment


def artifact(layout: Layout, folds: Iterable[int]) -> Artifact:
    """The experiment's page."""
    folds = tuple(folds)
    return Artifact(
        name="report",
        stage="report",
        folder=layout.experiment_folder,
        manifest_name="report.json",
        outputs=("report.html",),
        inputs=(
            prepare.artifact(layout),
            validate.artifact(layout, folds),
            *of_members(layout, lambda member: [train.out_of_fold(member, fold) for fold in folds]),
            *mosaic.inputs_of_rules(layout),
        ),
        version=5,
        lock_wait=600.0,
    )


def make(context: Context) -> None:
    """Write ``report.html`` beside the experiment's artifacts."""
    from pipeline.reporting.experiment_page import page

    drawn = artifact(context.layout, context.folds)
    started, seen = time.monotonic(), artifacts.inputs_now(drawn)
    result = context.manifest(validate.artifact(context.layout, context.folds)).result
    with artifacts.updating(drawn):
        write_text(drawn.path, page(_read(context, result)))
        artifacts.commit(drawn, {}, started, seen=seen)
    echo(f"report: {drawn.path}")


def _read(context: Context, result: dict[str, Any]) -> Experiment:
    """Read what the page shows from the artifacts of earlier stages.

    Args:
        context: of the command.
        result: of the validation's manifest.
    """
    # Imported here: a command with nothing to do loads neither pandas nor matplotlib.
    import pandas as pd

    from pipeline.data import tables, tiles
    from pipeline.reporting.experiment import Experiment
    from pipeline.reporting.galleries import Tiles
    from pipeline.scoring import blend

    layout, folds, freshness = context.layout, context.folds, context.freshness
    store = tiles.load(layout.tiles_folder)
    scores = tables.read(
        validate.artifact(layout, folds).folder / "scores.csv", dtype={"id": str}, keep_default_na=False
    )
    rows = pd.Index(store.train["id"].astype(str)).get_indexer(scores["id"])
    found = [validate.out_of_fold(member, folds) for member in layout.members]
    votes = tuple(result["votes"][member.experiment] for member in layout.members)
    own = () if layout.is_blend else folds  # a blend trains no folds
    trained = {fold: freshness.manifest(train.trained(layout, fold)) for fold in own}
    alone = {
        member.experiment: freshness.manifest(validate.artifact(member, folds))
        for member in layout.members
        if layout.is_blend
    }
    return Experiment(
        name=layout.experiment,
        dataset=layout.dataset,
        settings=layout.settings,
        result=result,
        tiles=Tiles(
            scores,
            store.train_images[rows],
            store.train_masks[rows],
            blend.mixed(found, votes),
            mosaic.labelled_neighbors(layout, [*scores["id"]], store),
        ),
        training={fold: manifest.result for fold, manifest in trained.items() if manifest is not None},
        histories={fold: read_history(layout.fold_folder(fold)) for fold in own},
        members={name: manifest.result["cv"]["score"] if manifest else None for name, manifest in alone.items()},
        provenance=provenance.describe(
            context,
            {
                "fingerprint of the tiles": prepare.artifact(layout),
                "fingerprint of the split": split.artifact(layout),
                "fingerprint of the validation": validate.artifact(layout, folds),
            },
            [train.trained(member, fold) for member in layout.members for fold in folds],
        ),
        command=command_line(context, "submit", folds=_folds(context)),
        show="" if layout.is_blend else command_line(context, "show", tile=str(scores["id"].iloc[0])),
    )


def _folds(context: Context) -> str:
    """The folds as a command names them; empty for all of them."""
    chosen, every = context.folds, context.layout.folds
    return "" if tuple(chosen) == tuple(every) else ",".join(map(str, chosen))


STAGE = Stage(
    name="report",
    help="draw the experiment's page and the leaderboard",
    artifacts=lambda context: [artifact(context.layout, context.folds)],
    make=make,
    blended=True,
)
