"""The page of one experiment, or of a blend: its score, folds, learning curves, rules, tiles and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import Settings, as_dict, differences
from pipeline.reporting import checks, figures, groups, pages
from pipeline.reporting.tile_images import tiles_picture
from pipeline.scoring import metric, thresholding

if TYPE_CHECKING:
    import pandas as pd

CURVE = np.linspace(0.05, 0.95, 46)
"""Thresholds at which the curve of the score is drawn."""
Section = tuple[str, str]
"""Heading and HTML."""


@dataclass(frozen=True)
class Experiment:
    """What the page shows."""

    name: str
    dataset: str
    settings: Settings
    result: dict[str, Any]
    """Of the validation's manifest."""
    scores: pd.DataFrame
    """The rows of ``scores.csv``, n out-of-fold tiles."""
    images: np.ndarray
    """(n, 101, 101) uint8 grey values."""
    truth: np.ndarray
    """(n, 101, 101) 0/1."""
    probabilities: np.ndarray
    """(n, 101, 101) uint8, v stands for v / 255."""
    training: dict[int, dict[str, Any]]
    """Of each trained fold, the result in its manifest; empty for a blend."""
    histories: dict[int, list[dict[str, str]]]
    """Of each fold, the rows of ``history.csv``; empty for a blend."""
    members: dict[str, float | None]
    """Of a blend, the score of each member alone, None where unknown; empty for a single experiment."""


def page(experiment: Experiment) -> str:
    """The experiment's page as HTML."""
    cv = experiment.result["cv"]
    sections = [
        ("", _headline(experiment.result)),
        *_members(experiment),
        ("Folds", _folds(experiment)),
        *_learning_curves(experiment),
        ("Score", _score(experiment)),
        ("Rules", _rules(cv)),
        ("Tiles by error", _tiles(experiment, cv["threshold"])),
        ("Settings", _settings(experiment)),
    ]
    return pages.page(f"{experiment.name} on {experiment.dataset}", sections)


def _headline(result: dict[str, Any]) -> str:
    """The score, its interval, warnings, and the most important figures."""
    cv, training = result["cv"], result["training"]
    low, high = cv["interval"]
    lines = [
        f'<p class="big">CV {cv["score"]:.4f}</p>',
        f'<p class="note">cross-fitted over {cv["tiles"]:,} out-of-fold tiles of folds '
        f"{', '.join(map(str, result['folds']))}; 95 % interval {low:.4f} to {high:.4f}; "
        f"{cv['score_at_half']:.4f} at a plain threshold of 0.5</p>",
    ]
    row = {
        "threshold": round(cv["threshold"], 3),
        "smallest mask": cv["min_area"],
        "rules": ", ".join(cv["rules"]) or "none",
        "IoU": cv["iou"],
        "Dice": cv["dice"],
        "empty accuracy": cv["empty_accuracy"],
        "parameters": training["parameters"],
        "minutes": training["minutes"],
        "tiles/s": training["tiles_per_second"],
        "backend": training["backend"],
    }
    warnings = checks.of_score(cv)
    if member := checks.sole_member(result["votes"]):
        warnings.append(f"this blend is {member} alone; it has no CSV and no row in the leaderboard of its own")
    return "".join([*lines, *map(pages.warning, warnings), pages.table([row])])


def _members(experiment: Experiment) -> list[Section]:
    """Of a blend: the score and the weight of each member."""
    if not experiment.members:
        return []
    votes = experiment.result["votes"]
    total = sum(votes.values())
    rows: list[dict[str, Any]] = [{"experiment": experiment.name, "weight": "", "CV": experiment.result["cv"]["score"]}]
    rows += [
        {"experiment": name, "weight": votes[name] / total, "CV": score} for name, score in experiment.members.items()
    ]
    note = (
        '<p class="note">Weights are equal unless others, found on the other folds\' tiles, score better by more than '
        "chance. CV is cross-fitted over the same tiles.</p>"
    )
    return [("Members", note + pages.table(rows))]


def _folds(experiment: Experiment) -> str:
    """A row per fold, and how evenly depth and coverage are distributed over the folds."""
    folds = experiment.result["folds"]
    by_fold = [experiment.scores[experiment.scores["fold"] == fold] for fold in folds]
    rows = [_fold_row(experiment, fold, scores) for fold, scores in zip(folds, by_fold, strict=True)]
    depth = figures.fold_balance([scores["depth"] for scores in by_fold], folds, "depth in feet")
    coverage = figures.fold_balance([scores["coverage"] for scores in by_fold], folds, "coverage")
    return pages.table(rows) + pages.figures((depth, "depth of each fold"), (coverage, "salt in each fold"))


def _fold_row(experiment: Experiment, fold: int, scores: pd.DataFrame) -> dict[str, Any]:
    row = {
        "fold": fold,
        "CV": float(scores["score"].mean()),
        "tiles": len(scores),
        "empty": float((scores["coverage"] == 0).mean()),
    }
    if experiment.members:
        return row
    trained = experiment.training.get(fold, {})
    return row | {
        "best epoch": trained.get("best_epoch"),
        "epochs": trained.get("epochs"),
        "minutes": round(trained["seconds"] / 60, 1) if trained else None,
    }


def _learning_curves(experiment: Experiment) -> list[Section]:
    histories = experiment.histories
    if not histories:
        return []
    drawn = pages.figures(
        (figures.learning_curve(histories, "loss", "training loss"), "training loss; it jumps where the loss changes"),
        (figures.learning_curve(histories, "score", "score at 0.5"), "score on the fold's validation tiles at 0.5"),
        (figures.learning_curve(histories, "learning_rate", "learning rate"), "the schedule"),
    )
    return [("Learning curves", drawn)]


def _score(experiment: Experiment) -> str:
    """The score against threshold, coverage and depth, calibration, and empty tiles."""
    threshold, area = experiment.result["cv"]["threshold"], experiment.result["cv"]["min_area"]
    scores = experiment.scores
    counts = thresholding.count(experiment.probabilities, experiment.truth)
    curve = [float(thresholding.scores_at(counts, float(each), area).mean()) for each in CURVE]
    confusion = metric.empty_confusion(scores["predicted"].to_numpy() > 0, scores["coverage"].to_numpy() > 0)
    return pages.figures(
        (
            figures.threshold_curve(CURVE.tolist(), curve, threshold),
            f"score against threshold, masks under {area} pixels emptied",
        ),
        (figures.bars(groups.by_coverage(scores), "salt coverage"), "cross-fitted score by true coverage"),
        (figures.bars(groups.by_depth(scores), "depth in feet"), "cross-fitted score by depth"),
        (figures.reliability(experiment.probabilities, experiment.truth), "are probabilities what they say?"),
        (figures.confusion(confusion), "tiles with and without salt, and what was predicted"),
    )


def _rules(cv: dict[str, Any]) -> str:
    """The gain of each post-processing rule."""
    note = (
        f'<p class="note">Gain of each rule on all out-of-fold tiles, after those that were taken before it, with the '
        f"bounds within which it lies by more than chance. With the rules that the other folds chose, the cross-fitted "
        f"score is {cv['score']:.4f}; with threshold and smallest area alone, {cv['score_without_rules']:.4f}."
        + (f" The gate's level is {cv['gate']:.2f}." if cv["gate"] is not None else "")
        + "</p>"
    )
    return note + pages.table([{**each, "taken": "yes" if each["taken"] else "no"} for each in cv["gains"]])


def _tiles(experiment: Experiment, threshold: float) -> str:
    """Pictures of the worst, the median and the best tiles."""
    ids, scores = experiment.scores["id"], experiment.scores["score"]
    parts = [
        '<p class="note">orange line: truth; white line: prediction at the chosen threshold; in the difference, orange '
        "was missed and blue was invented</p>"
    ]
    for name, rows in groups.examples(experiment.scores).items():
        if len(rows):
            titles = [f"{ids.iloc[row]}\nscore {scores.iloc[row]:.2f}" for row in rows]
            images, truth = experiment.images[rows], experiment.truth[rows]
            png = tiles_picture(images, truth, experiment.probabilities[rows], threshold, titles)
            parts.append(f"<h3>{name}</h3>{pages.picture(png, f'{name} tiles: image, truth, prediction, difference')}")
    return "".join(parts)


def _settings(experiment: Experiment) -> str:
    """Settings that differ from the defaults, and all of them on request."""
    settings = experiment.settings
    # No network is trained for a blend; its members' settings are on their own pages.
    sections = ("split", "submit") if experiment.members else settings.__struct_fields__
    changed = [
        {"setting": key, "default": str(old), "here": str(new)} for key, (old, new) in differences(settings).items()
    ]
    every = [
        {"setting": f"{section}.{key}", "value": str(value)}
        for section, values in as_dict(settings).items()
        if section in sections
        for key, value in values.items()
    ]
    return (
        "<p>What differs from the defaults:</p>"
        + pages.table(changed)
        + f"<details><summary>all settings</summary>{pages.table(every)}</details>"
    )
