"""Score the out-of-fold predictions, cross-fitted, and choose how the test tiles' masks will be made."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline import artifacts
from pipeline.artifacts import Layout
from pipeline.config import TILE, fingerprint, stored
from pipeline.data import tiles
from pipeline.data.folds import fold_of_tiles
from pipeline.scoring.validation import validate
from pipeline.stages import Context


def run(context: Context) -> None:
    """Write ``scores.csv`` (a row per out-of-fold tile), ``choice.json``, and the score into the manifest."""
    layout, folds = context.layout, context.folds
    artifact = layout.validation(folds)
    started, seen = time.monotonic(), artifacts.inputs_now(artifact)
    store, dealt = tiles.load(layout.tiles.folder), fold_of_tiles(layout.split.folder)
    rows = np.concatenate([np.flatnonzero(dealt == fold) for fold in folds])
    found = [
        np.concatenate([np.load(member.fold_folder(fold) / "oof.npy", allow_pickle=False) for fold in folds])
        for member in layout.members
    ]
    told = validate(found, store.train_masks[rows], store.train_images[rows], dealt[rows], layout.settings.submit)
    votes = {member.experiment: vote for member, vote in zip(layout.members, told.votes, strict=True)}
    table = store.train.iloc[rows][["id", "depth", "coverage"]].assign(
        fold=dealt[rows],
        score=told.tile_scores,
        iou=told.tile_iou.round(6),
        predicted=(told.predicted_area / TILE**2).round(6),
    )
    with artifacts.updating(artifact) as folder:
        artifacts.write_text(folder / "scores.csv", table.to_csv(index=False, lineterminator="\n"))
        artifacts.write_text(folder / "choice.json", json.dumps({**asdict(told.choice), "votes": votes}) + "\n")
        result = {
            "dataset": layout.dataset,
            "experiment": layout.experiment,
            "cv": told.as_dict(),
            "votes": votes,
            "folds": list(folds),
            "training": _training(context),
            "settings_fingerprint": fingerprint(_settings(layout)),
        }
        artifacts.commit(artifact, result, started, seen=seen)


def _settings(layout: Layout) -> Any:
    """Everything that was set, of a blend and its members alike."""
    if not layout.is_blend:
        return stored(layout.settings)
    return [stored(each.settings) for each in (layout, *layout.members)]


def _training(context: Context) -> dict[str, Any]:
    """Cost of the folds of all members, added up from their manifests."""
    members = context.layout.members
    trained = [context.freshness.manifest(member.train(fold)) for member in members for fold in context.folds]
    results = [manifest.result for manifest in trained if manifest is not None]
    if not results:
        return {}
    return {
        "minutes": round(sum(each["seconds"] for each in results) / 60, 2),
        "epochs": [each["epochs"] for each in results],
        "parameters": sum(each["parameters"] for each in results[:: len(context.folds)]),
        "tiles_per_second": round(float(np.mean([each["tiles_per_second"] for each in results])), 1),
        "backend": results[0]["backend"],
        "precision": results[0]["precision"],
    }
