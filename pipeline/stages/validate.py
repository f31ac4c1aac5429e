"""Score the out-of-fold predictions, cross-fitted, and choose the threshold that the test tiles will get."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from pipeline import artifacts, tiles
from pipeline.config import TILE, as_dict, fingerprint
from pipeline.folds import fold_of_tiles
from pipeline.stages import Context
from pipeline.validation import validate


def run(context: Context) -> None:
    """Write ``scores.csv`` (a row per out-of-fold tile), ``choice.json``, and the score into the manifest."""
    tree, folds = context.tree, context.folds
    artifact = tree.validation(folds)
    started = time.monotonic()
    store, dealt = tiles.load(tree.tiles.folder), fold_of_tiles(tree.split.folder)
    rows = [np.flatnonzero(dealt == fold) for fold in folds]
    found = [np.load(tree.fold_folder(fold) / "oof.npy", allow_pickle=False) for fold in folds]
    told = validate(found, [store.train_masks[each] for each in rows], folds, tree.settings.submit)
    table = store.train.iloc[np.concatenate(rows)][["id", "depth", "coverage"]].assign(
        fold=np.repeat(folds, [len(each) for each in rows]),
        score=told.tile_scores,
        iou=told.tile_iou.round(6),
        predicted=(told.predicted_area / TILE**2).round(6),
    )
    with artifacts.making(artifact) as folder:
        artifacts.write_text(folder / "scores.csv", table.to_csv(index=False, lineterminator="\n"))
        choice = {"threshold": told.choice.threshold, "min_area": told.choice.min_area}
        artifacts.write_text(folder / "choice.json", json.dumps(choice) + "\n")
        result = {
            "dataset": tree.dataset,
            "experiment": tree.experiment,
            "cv": told.as_dict(),
            "folds": list(folds),
            "training": _training(context),
            "settings_fingerprint": fingerprint(as_dict(tree.settings)),
        }
        artifacts.finish(artifact, result, started)


def _training(context: Context) -> dict[str, Any]:
    """Cost of the folds, added up from their manifests."""
    trained = [context.ledger.manifest(context.tree.train(fold)) for fold in context.folds]
    results = [manifest.result for manifest in trained if manifest is not None]
    if not results:
        return {}
    return {
        "minutes": round(sum(each["seconds"] for each in results) / 60, 2),
        "epochs": [each["epochs"] for each in results],
        "parameters": results[0]["parameters"],
        "tiles_per_second": round(float(np.mean([each["tiles_per_second"] for each in results])), 1),
        "backend": results[0]["backend"],
        "precision": results[0]["precision"],
    }
