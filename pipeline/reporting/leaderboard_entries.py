"""What the leaderboard lists: a row and the tiles' scores of each validated experiment, read from manifests."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from pipeline.artifacts import Manifest, measure, read_manifest, results
from pipeline.reporting.checks import sole_member
from pipeline.system import disk
from pipeline.system.progress import echo

SCORES, REPORT = "scores.csv", "report.html"


class TileScore(NamedTuple):
    """Of a tile that its fold's network was not trained on."""

    score: float
    """Cross-fitted."""
    fold: int


@dataclass(frozen=True)
class Entry:
    """One experiment on one dataset."""

    row: dict[str, Any]
    scores: dict[str, TileScore]
    """By the tile's id."""
    report: str
    """Address of its page from the leaderboard's folder; empty where it was not drawn yet."""


def read(root: Path) -> list[Entry]:
    """Read all validated experiments.

    A blend in which one member has all the weight is left out, since it is that member. Test answers and Kaggle's
    scores come from the receipt, if it belongs to the same validation.

    Args:
        root: the folder of ``data/`` and ``submissions/``.

    Returns:
        By dataset, the best cross-fitted score first.
    """
    entries = []
    for path in sorted((root / "data").glob("*/experiments/*/cv.json")):
        manifest = read_manifest(path)
        if manifest is None or manifest.artifact != "validate" or results.error(manifest.result, results.Scored):
            continue
        result = manifest.result
        if sole_member(result.get("votes", {})):
            continue  # its only member has a row already
        receipt = read_manifest(root / "submissions" / result["dataset"] / f"{result['experiment']}.json")
        own = receipt is not None and receipt.inputs.get("validate") == manifest.fingerprint
        known = receipt is not None and own and not results.error(receipt.result, results.Answered)
        row = _row(result, receipt.result if receipt is not None and known else {})
        entries.append(Entry(row, _scores(path.parent / SCORES, manifest), _report(root, path.parent)))
    return sorted(entries, key=lambda entry: (entry.row["dataset"], -entry.row["CV"]))


def _report(root: Path, folder: Path) -> str:
    page = folder / REPORT
    return quote(f"../{page.relative_to(root).as_posix()}") if page.is_file() else ""


def read_scores(path: Path) -> dict[str, TileScore]:
    """The tiles of a validation's ``scores.csv``, by their id.

    Raises:
        OSError: the file cannot be read.
        KeyError: it lacks a column.
        ValueError: a score or a fold is not a number.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        return {each["id"]: TileScore(float(each["score"]), int(each["fold"])) for each in csv.DictReader(stream)}


def _scores(path: Path, manifest: Manifest) -> dict[str, TileScore]:
    """The tiles by their id; empty, with a printed line, where the file differs from its manifest."""
    try:
        if measure(path) != manifest.outputs.get(SCORES):
            raise ValueError
        return read_scores(path)
    except (OSError, KeyError, ValueError) as error:
        if disk.failure(error):
            raise
        again = f"validate DATASET={manifest.result['dataset']} EXPERIMENT={manifest.result['experiment']}"
        echo(f"{path}: is damaged, so nothing is compared with it; make it again: make clean-{again}, make {again}")
        return {}


def _row(result: dict[str, Any], receipt: dict[str, Any]) -> dict[str, Any]:
    cv, training, kaggle = result["cv"], result.get("training", {}), receipt.get("kaggle", {})
    known = kaggle.get("private") if kaggle.get("private") is not None else receipt.get("score")
    return {
        "experiment": result["experiment"],
        "dataset": result["dataset"],
        "CV": cv["score"],
        "low": cv["interval"][0],
        "high": cv["interval"][1],
        "at 0.5": cv["score_at_half"],
        "threshold": round(cv["threshold"], 3),
        "min area": cv["min_area"],
        "rules": ", ".join(cv.get("rules", ())),
        "IoU": cv["iou"],
        "Dice": cv["dice"],
        "empty accuracy": cv["empty_accuracy"],
        "minutes": training.get("minutes"),
        "parameters": training.get("parameters"),
        "tiles/s": training.get("tiles_per_second"),
        "test answers": receipt.get("score"),
        "public": kaggle.get("public"),
        "private": kaggle.get("private"),
        "CV - test": cv["score"] - known if known is not None else None,
        "folds": " ".join(f"{fold}:{score:.3f}" for fold, score in cv["folds"].items()),
    }
