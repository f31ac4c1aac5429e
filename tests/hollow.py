"""Artifacts that hold nothing but have whole manifests, so that a finished chain is made in milliseconds."""

from __future__ import annotations

from typing import Any

from pipeline import artifacts
from pipeline.artifacts import Artifact

COST = {"minutes": 1.5, "parameters": 1000, "tiles_per_second": 30.0, "backend": "tensorflow", "precision": "float32"}
CV = {
    "score": 0.7,
    "folds": {"0": 0.7},
    "spread": 0.0,
    "interval": [0.6, 0.8],
    "score_at_half": 0.65,
    "score_without_rules": 0.69,
    "threshold": 0.45,
    "min_area": 40,
    "rules": ["fill_holes"],
    "gate": None,
    "gains": [{"rule": "fill_holes", "taken": True, "gain": 0.01, "low": 0.0, "high": 0.02}],
    "tiles": 40,
    "iou": 0.7,
    "dice": 0.75,
    "empty_accuracy": 0.9,
}
VALIDATED = {"cv": CV, "folds": [0], "training": COST}
RESULTS: dict[str, dict[str, Any]] = {
    "download": {"source": {"kind": "survey"}},
    "prepare": {"train": 40, "test": 12},
    "mosaic": {"vertical": 1, "horizontal": 2, "sections": 3, "tiles": 6},
    "split": {"tiles": 40},
    "pretrain": {"views": 64000, "tiles": 52, "loss": 0.3, "seconds": 60.5},
    "train": {"epochs": 2, "best_epoch": 1, "kept_epochs": [1], "seconds": 90.5, "cpu_seconds": 180.0, **COST},
    "out-of-fold": {"tiles": 40, "score_at_half": 0.65, "iou": 0.7, "empty_accuracy": 0.9},
    "validate": VALIDATED,
    "report": {},
    "predict": {"tiles": 12},
    "submit": {**VALIDATED, "message": "m", "tiles": 12, "tiles_with_salt": 3},
}
"""A result of each kind of artifact, by the first word of its name."""


def fill(artifact: Artifact, **more: Any) -> None:
    """Make an artifact: files of a few bytes, empty folders, and a manifest.

    Args:
        artifact: any of a stage.
        more: values of the result besides those in ``RESULTS``.
    """
    result = RESULTS[artifact.name.split()[0]] | more
    if artifact.experiment:
        votes = dict.fromkeys(artifact.experiment.split("+"), 1)
        result |= {"dataset": "demo", "experiment": artifact.experiment, "votes": votes}
    with artifacts.updating(artifact) as folder:
        for name in (*artifact.outputs, *artifact.extras):
            path = folder / name
            if path.suffix:
                path.write_bytes(b"content")
            else:
                path.mkdir(parents=True, exist_ok=True)
        artifacts.commit(artifact, result, 0.0)
