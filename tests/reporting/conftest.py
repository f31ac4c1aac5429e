"""A root folder with three validated experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts import Manifest, Output, measure, write_manifest

TILES = 400


def make_experiment(root: Path, name: str, scores: np.ndarray, receipt: dict[str, Any] | None = None) -> None:
    """Write what validation, and with a receipt also submission, leave of an experiment."""
    folder = root / "data/demo/experiments" / name
    folder.mkdir(parents=True)
    lines = [f"tile{index},{score},{index % 2}" for index, score in enumerate(scores)]
    (folder / "scores.csv").write_text("\n".join(["id,score,fold", *lines]) + "\n")
    score = float(scores.mean())
    cv = {
        "score": score,
        "folds": {"0": score, "1": score},
        "spread": 0.01,
        "interval": [score - 0.02, score + 0.02],
        "score_at_half": score - 0.01,
        "threshold": 0.45,
        "min_area": 40,
        "tiles": len(scores),
        "iou": 0.7,
        "dice": 0.75,
        "empty_accuracy": 0.9,
    }
    training = {"minutes": 12.5, "parameters": 1_234_567, "tiles_per_second": 30.0}
    result = {"experiment": name, "dataset": "demo", "cv": cv, "training": training, "folds": [0, 1]}
    leave_manifest(folder / "cv.json", "validate", name, result, outputs={"scores.csv": measure(folder / "scores.csv")})
    if receipt is not None:
        leave_manifest(root / "submissions/demo" / f"{name}.json", "submit", "csv", receipt, {"validate": name})


def leave_manifest(
    path: Path,
    artifact: str,
    mark: str,
    result: dict[str, Any],
    inputs: dict[str, str] | None = None,
    outputs: dict[str, Output] | None = None,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {"settings": {}, "inputs": inputs or {}, "outputs": outputs or {}, "extras": {}, "made": {}}
    write_manifest(path, Manifest(artifact=artifact, format=1, fingerprint=mark, result=result, **given))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    good = draw.integers(5, 11, TILES) / 10
    nearly = good.copy()
    nearly[:20] = good[:20][::-1]  # other tiles, nearly the same mean
    nearly[30] = good[30] - 0.1
    bad = np.clip(good - (draw.random(TILES) < 0.3) * 0.3, 0, 1).round(1)
    make_experiment(tmp_path, "bad", bad, {"score": 0.61})
    make_experiment(tmp_path, "good", good, {"kaggle": {"public": 0.8, "private": 0.81}})
    make_experiment(tmp_path, "nearly-good", nearly)
    return tmp_path
