"""Choose the threshold on out-of-fold predictions, write the CSV, check it, and leave a receipt."""

from __future__ import annotations

import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import artifacts, metric, rle, submission, tiles
from pipeline.artifacts import SOLUTION, Tree
from pipeline.config import TILE, UserError, as_dict, fingerprint
from pipeline.folds import fold_of_tiles
from pipeline.progress import Progress
from pipeline.stages import Context
from pipeline.uploads import MARK

LIBRARIES = (
    "albumentations",
    "keras",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "scikit-learn",
    "tensorflow",
    "jax",
)


def run(context: Context) -> None:
    """Write ``submissions/<dataset>/<experiment>.csv`` and its receipt."""
    tree, folds = context.tree, context.folds
    artifact = tree.submission(folds)
    started = time.monotonic()
    store = tiles.load(tree.tiles.folder)
    validation = validate(tree, folds)
    found = [np.load(tree.test(fold).folder / f"fold-{fold}.npy", mmap_mode="r", allow_pickle=False) for fold in folds]
    ids = store.test["id"].tolist()
    with artifacts.making(artifact) as folder:
        with artifacts.writing(folder / artifact.outputs[0]) as path:
            with Progress("encode", len(ids), "tiles") as progress:
                submission.write(path, ids, submission.predicted_masks(found, validation.choice, progress))
            # Held against the tiles once more, from the file: what Kaggle will read is what was predicted.
            salted = submission.check(path, ids, submission.predicted_masks(found, validation.choice))
        result = {
            "dataset": tree.dataset,
            "experiment": tree.experiment,
            "message": message(tree, folds, validation, artifacts.measure(folder / artifact.outputs[0]).sha256),
            "cv": validation.as_dict(),
            "folds": list(folds),
            "tiles": len(ids),
            "tiles_with_salt": salted,
            "training": _training(context),
            "settings_fingerprint": fingerprint(as_dict(tree.settings)),
            "versions": _versions(),
            "git_commit": _git_commit(),
        }
        solution = tree.raw.folder / SOLUTION
        if tree.dataset == "demo":
            result["score"] = _score_against(solution, ids, submission.predicted_masks(found, validation.choice))
        artifacts.finish(artifact, result, started)


def validate(tree: Tree, folds: tuple[int, ...]) -> submission.Validation:
    """What the out-of-fold predictions of these folds say."""
    store, dealt = tiles.load(tree.tiles.folder), fold_of_tiles(tree.split.folder)
    truth = [store.train_masks[dealt == fold] for fold in folds]
    found = [np.load(tree.fold_folder(fold) / "oof.npy", allow_pickle=False) for fold in folds]
    return submission.validate(found, truth, folds, tree.settings.submit)


def message(tree: Tree, folds: tuple[int, ...], validation: submission.Validation, sha256: str) -> str:
    """The line that goes with the CSV to Kaggle; by the mark at its end an upload is known again."""
    some = "" if len(folds) == len(tree.folds) else f" (folds {','.join(map(str, folds))} of {len(tree.folds)})"
    own = " ".join(tree.settings.submit.message.split())
    return f"{tree.experiment}{some} CV {validation.score:.4f}{' ' + own if own else ''} {sha256[:MARK]}"


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


def _score_against(solution: Path, ids: list[str], masks: Any) -> float:
    """Score of predicted masks against known answers."""
    import pandas as pd

    answers = pd.read_csv(solution, dtype=str, keep_default_na=False).set_index("id")["rle_mask"]
    if list(answers.index.intersection(ids)) and not set(ids) <= set(answers.index):
        raise UserError(f"{solution}: it lacks answers of some tiles; make the survey again: make clean-download")
    start, total = 0, 0.0
    for chunk in masks:
        part = answers.loc[ids[start : start + len(chunk)]].tolist()
        total += float(metric.tile_scores(chunk, rle.decode(part, TILE, TILE)).sum())
        start += len(chunk)
    return total / start


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """Commit of the code, with ``-dirty`` where files were changed; None outside a checkout."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()
