"""Score the out-of-fold predictions, cross-fitted, and choose how the test tiles' masks will be made."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline import artifacts, tiles
from pipeline.artifacts import Tree
from pipeline.config import TILE, as_dict, fingerprint
from pipeline.folds import fold_of_tiles
from pipeline.stages import Context
from pipeline.validation import validate


def run(context: Context) -> None:
    """Write ``scores.csv`` (a row per out-of-fold tile), ``choice.json``, and the score into the manifest."""
    tree, folds = context.tree, context.folds
    artifact = tree.validation(folds)
    started, seen = time.monotonic(), artifacts.inputs_now(artifact)
    store, dealt = tiles.load(tree.tiles.folder), fold_of_tiles(tree.split.folder)
    rows = np.concatenate([np.flatnonzero(dealt == fold) for fold in folds])
    found = [
        np.concatenate([np.load(member.fold_folder(fold) / "oof.npy", allow_pickle=False) for fold in folds])
        for member in tree.members
    ]
    told = validate(found, store.train_masks[rows], store.train_images[rows], dealt[rows], tree.settings.submit)
    votes = {member.experiment: vote for member, vote in zip(tree.members, told.votes, strict=True)}
    table = store.train.iloc[rows][["id", "depth", "coverage"]].assign(
        fold=dealt[rows],
        score=told.tile_scores,
        iou=told.tile_iou.round(6),
        predicted=(told.predicted_area / TILE**2).round(6),
    )
    with artifacts.making(artifact) as folder:
        artifacts.write_text(folder / "scores.csv", table.to_csv(index=False, lineterminator="\n"))
        artifacts.write_text(folder / "choice.json", json.dumps({**asdict(told.choice), "votes": votes}) + "\n")
        result = {
            "dataset": tree.dataset,
            "experiment": tree.experiment,
            "cv": told.as_dict(),
            "votes": votes,
            "folds": list(folds),
            "training": _training(context),
            "settings_fingerprint": fingerprint(_settings(tree)),
        }
        artifacts.finish(artifact, result, started, seen=seen)


def _settings(tree: Tree) -> Any:
    """Everything that was set, of a blend and its members alike."""
    if not tree.is_blend:
        return as_dict(tree.settings)
    return [as_dict(each.settings) for each in (tree, *tree.members)]


def _training(context: Context) -> dict[str, Any]:
    """Cost of the folds of all members, added up from their manifests."""
    members = context.tree.members
    trained = [context.ledger.manifest(member.train(fold)) for member in members for fold in context.folds]
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
