"""Draw the experiment's page."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import artifacts
from pipeline.stages import Context
from pipeline.system.progress import echo

if TYPE_CHECKING:
    from pipeline.reporting.experiment_page import Experiment


def run(context: Context) -> None:
    """Write ``report.html`` beside the experiment's artifacts."""
    from pipeline.reporting.experiment_page import page

    layout, folds = context.layout, context.folds
    artifact = layout.report(folds)
    started, seen = time.monotonic(), artifacts.inputs_now(artifact)
    validated = context.freshness.manifest(layout.validation(folds))
    assert validated is not None  # validation comes before the report
    with artifacts.updating(artifact) as folder:
        artifacts.write_text(folder / "report.html", page(_read(context, validated.result)))
        artifacts.commit(artifact, {}, started, seen=seen)
    echo(f"report: {folder / 'report.html'}")


def _read(context: Context, result: dict[str, Any]) -> Experiment:
    """Read what the page shows from the artifacts of earlier stages.

    Args:
        context: of the command.
        result: of the validation's manifest.
    """
    # Imported here: a command with nothing to do loads neither pandas nor matplotlib.
    import numpy as np
    import pandas as pd

    from pipeline.data import tables, tiles
    from pipeline.reporting.experiment_page import Experiment
    from pipeline.scoring import blend

    layout, folds, freshness = context.layout, context.folds, context.freshness
    store = tiles.load(layout.tiles.folder)
    scores = tables.read(layout.validation(folds).folder / "scores.csv", dtype={"id": str}, keep_default_na=False)
    rows = pd.Index(store.train["id"].astype(str)).get_indexer(scores["id"])
    found = [
        np.concatenate([np.load(member.fold_folder(fold) / "oof.npy", allow_pickle=False) for fold in folds])
        for member in layout.members
    ]
    votes = tuple(result["votes"][member.experiment] for member in layout.members)
    own = () if layout.is_blend else folds  # a blend trains no folds
    trained = {fold: freshness.manifest(layout.train(fold)) for fold in own}
    alone = {
        member.experiment: freshness.manifest(member.validation(folds)) for member in layout.members if layout.is_blend
    }
    return Experiment(
        name=layout.experiment,
        dataset=layout.dataset,
        settings=layout.settings,
        result=result,
        scores=scores,
        images=store.train_images[rows],
        truth=store.train_masks[rows],
        probabilities=blend.mixed(found, votes),
        training={fold: manifest.result for fold, manifest in trained.items() if manifest is not None},
        histories={fold: _history(layout.fold_folder(fold) / "history.csv") for fold in own},
        members={name: manifest.result["cv"]["score"] if manifest else None for name, manifest in alone.items()},
    )


def _history(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
