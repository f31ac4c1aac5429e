"""Score the out-of-fold predictions, cross-fitted, and choose how the test tiles' masks are made."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from pipeline import artifacts
from pipeline.artifacts import Artifact, Layout, results
from pipeline.config import TILE, fingerprint, stored
from pipeline.stages import mosaic, prepare, split, train
from pipeline.stages.stage import Context, Stage, of_members
from pipeline.system.atomic import write_text
from pipeline.system.progress import echo


def artifact(layout: Layout, folds: Iterable[int]) -> Artifact:
    """The cross-fitted score, tile by tile, and the post-processing of the test tiles' probabilities."""
    folds = tuple(folds)
    settings = stored(layout.settings.submit)
    del settings["message"]
    return Artifact(
        name="validate",
        stage="validate",
        folder=layout.experiment_folder,
        manifest_name="cv.json",
        outputs=("scores.csv", "choice.json"),
        settings={"folds": list(folds), "submit": settings},
        inputs=(
            prepare.artifact(layout),
            split.artifact(layout),
            *of_members(layout, lambda member: [train.out_of_fold(member, fold) for fold in folds]),
            *mosaic.inputs_of_rules(layout),
        ),
        version=4,
        result=results.Validated,
        lock_wait=600.0,
        experiment=layout.experiment,
    )


def make(context: Context) -> None:
    """Write ``scores.csv`` (a row per out-of-fold tile), ``choice.json``, and the score into the manifest."""
    import numpy as np

    from pipeline.data import tiles
    from pipeline.data.folds import fold_of_tiles
    from pipeline.scoring.validation import validate

    layout, folds = context.layout, context.folds
    validated = artifact(layout, folds)
    started, seen = time.monotonic(), artifacts.inputs_now(validated)
    store, fold_of_tile = tiles.load(layout.tiles_folder), fold_of_tiles(layout.split_folder)
    rows = np.concatenate([np.flatnonzero(fold_of_tile == fold) for fold in folds])
    probabilities = [out_of_fold(member, folds) for member in layout.members]
    neighbors = mosaic.labelled_neighbors(layout, [*store.train["id"].iloc[rows]], store)
    result = validate(
        probabilities,
        store.train_masks[rows],
        store.train_images[rows],
        fold_of_tile[rows],
        layout.settings.submit,
        neighbors,
    )
    votes = {member.experiment: vote for member, vote in zip(layout.members, result.votes, strict=True)}
    table = store.train.iloc[rows][["id", "depth", "coverage"]].assign(
        fold=fold_of_tile[rows],
        score=result.tile_scores,
        iou=result.tile_iou.round(6),
        predicted=(result.predicted_area / TILE**2).round(6),
    )
    with artifacts.updating(validated) as folder:
        write_text(folder / "scores.csv", table.to_csv(index=False, lineterminator="\n"))
        write_text(folder / "choice.json", json.dumps({**asdict(result.choice), "votes": votes}) + "\n")
        found = {
            "dataset": layout.dataset,
            "experiment": layout.experiment,
            "cv": result.as_dict(),
            "votes": votes,
            "folds": list(folds),
            "training": _training(context),
            "settings_fingerprint": fingerprint(_settings(layout)),
        }
        artifacts.commit(validated, found, started, seen=seen)
    if neighbors is not None:
        echo(f"validate: {int(neighbors.present.sum()):,} of {len(rows):,} tiles are above or below a labelled tile")


def out_of_fold(layout: Layout, folds: Iterable[int]) -> Any:
    """Out-of-fold probabilities of some folds, (n, 101, 101) uint8, in the order of the folds and of their tiles."""
    import numpy as np

    return np.concatenate([np.load(train.out_of_fold(layout, fold).path, allow_pickle=False) for fold in folds])


def _settings(layout: Layout) -> Any:
    """All settings; of a blend, those of its members too."""
    if not layout.is_blend:
        return stored(layout.settings)
    return [stored(each.settings) for each in (layout, *layout.members)]


def _training(context: Context) -> dict[str, Any]:
    """Cost of the folds of all members, added up from their manifests."""
    members = context.layout.members
    trained = [train.trained(member, fold) for member in members for fold in context.folds]
    found = [context.manifest(each).result for each in trained]
    return {
        "minutes": round(sum(each["seconds"] for each in found) / 60, 2),
        "epochs": [each["epochs"] for each in found],
        "parameters": sum(each["parameters"] for each in found[:: len(context.folds)]),
        "tiles_per_second": round(sum(each["tiles_per_second"] for each in found) / len(found), 1),
        "backend": found[0]["backend"],
        "precision": found[0]["precision"],
    }


STAGE = Stage(
    name="validate",
    help="score the out-of-fold predictions, cross-fitted, and choose threshold and smallest area",
    artifacts=lambda context: [artifact(context.layout, context.folds)],
    make=make,
    blended=True,
)
