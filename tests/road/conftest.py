"""Experiments whose artifacts are all there, made in milliseconds: files that hold nothing, with whole manifests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts
from pipeline.artifacts import Artifact, Freshness, Layout
from pipeline.config import load
from pipeline.stages import ROAD, Context

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
    "rules": [],
    "gate": None,
    "gains": [],
    "tiles": 40,
    "iou": 0.7,
    "dice": 0.75,
    "empty_accuracy": 0.9,
}
RESULTS: dict[str, dict[str, Any]] = {
    "download": {"source": {"kind": "survey"}},
    "prepare": {"train": 40, "test": 12},
    "train": {"epochs": 2, "best_epoch": 1, "seconds": 90.5, **COST},
    "out-of-fold": {"tiles": 20, "score_at_half": 0.65, "iou": 0.7, "empty_accuracy": 0.9},
    "predict": {"tiles": 12},
    "validate": {"cv": CV, "folds": [0, 1], "training": COST},
    "submit": {"cv": CV, "folds": [0, 1], "training": COST, "message": "m", "tiles": 12, "tiles_with_salt": 3},
}


def fill(artifact: Artifact) -> None:
    """Make an artifact of empty files, or of the folders that it names."""
    names = artifact.experiment.split("+") if artifact.experiment else []
    result = RESULTS.get(artifact.name.split()[0], {})
    if names:
        result = {**result, "dataset": "demo", "experiment": artifact.experiment, "votes": dict.fromkeys(names, 1)}
    with artifacts.updating(artifact) as folder:
        for name in (*artifact.outputs, *artifact.extras):
            path = folder / name
            if path.suffix:
                path.write_bytes(b"content")
            else:
                path.mkdir(parents=True, exist_ok=True)
        artifacts.commit(artifact, result, 0.0)


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Context]:
    """Makes contexts of experiments on the built-in survey with two folds."""

    def make(experiment: str = "demo", *assignments: str, **options: Any) -> Context:
        settings = load(experiment, ["split.folds=2", *assignments])
        return Context(Layout(tmp_path, "demo", experiment, settings), Freshness(), (0, 1), **options)

    return make


def finish(context: Context) -> None:
    """Make all artifacts of an experiment."""
    for stage in ROAD:
        for artifact in stage.artifacts(context):
            if not Freshness().state(artifact).done:
                fill(artifact)
    context.freshness.forget()
