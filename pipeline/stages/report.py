"""Draw the experiment's page."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import artifacts
from pipeline.artifacts import Artifact, Layout
from pipeline.config import TILE, as_dict, differences
from pipeline.data import tables, tiles
from pipeline.reporting import checks, figures, pages
from pipeline.scoring import blend, metric, thresholding
from pipeline.stages import prepare, train, validate
from pipeline.stages.stage import Context, Stage, of_members
from pipeline.system import atomic
from pipeline.system.progress import echo

COVERAGE_CLASSES = (
    (0, 0, "empty"),
    (1e-9, 0.1, "to 10 %"),
    (0.1, 0.3, "to 30 %"),
    (0.3, 0.6, "to 60 %"),
    (0.6, 1, "more"),
)
EACH = 4
"""Tiles shown of the worst, the median and the best."""


def artifact(layout: Layout, folds: Iterable[int]) -> Artifact:
    """The experiment's page."""
    folds = tuple(folds)
    return Artifact(
        name="report",
        stage="report",
        folder=layout.experiment_folder,
        manifest_name="report.json",
        outputs=("report.html",),
        inputs=(
            prepare.artifact(layout),
            validate.artifact(layout, folds),
            *of_members(layout, lambda member: [train.out_of_fold(member, fold) for fold in folds]),
        ),
        version=3,
        lock_wait=600.0,
    )


def make(context: Context) -> None:
    """Write ``report.html`` beside the experiment's artifacts."""
    layout, folds = context.layout, context.folds
    drawn = artifact(layout, folds)
    started, seen = time.monotonic(), artifacts.inputs_now(drawn)
    result = context.manifest(validate.artifact(layout, folds)).result
    with artifacts.updating(drawn) as folder:
        sections = [("", _headline(result)), *_sections(context, result), ("Settings", _settings(context))]
        title = f"{layout.experiment} on {layout.dataset}"
        atomic.write_text(drawn.path, pages.page(title, sections))
        artifacts.commit(drawn, {}, started, seen=seen)
    echo(f"report: {folder / 'report.html'}")


def _headline(result: dict) -> str:
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


def _sections(context: Context, result: dict) -> list[tuple[str, str]]:
    layout, folds, cv = context.layout, context.folds, result["cv"]
    store = tiles.load(layout.tiles_folder)
    told = tables.read(validate.artifact(layout, folds).folder / "scores.csv", dtype={"id": str}, keep_default_na=False)
    rows = pd.Index(store.train["id"].astype(str)).get_indexer(told["id"])
    members = [validate.out_of_fold(member, folds) for member in layout.members]
    found = blend.mixed(members, tuple(result["votes"][member.experiment] for member in layout.members))
    truth, images = store.train_masks[rows], store.train_images[rows]
    threshold, area = cv["threshold"], cv["min_area"]
    counts = thresholding.count(found, truth)
    grid = np.linspace(0.05, 0.95, 46)
    curve = [float(thresholding.scores_at(counts, float(cut), area).mean()) for cut in grid]
    by_fold = [told[told["fold"] == fold] for fold in folds]
    confusion = metric.empty_confusion(told["predicted"].to_numpy() > 0, told["coverage"].to_numpy() > 0)
    return [
        *_members(context, result),
        (
            "Folds",
            pages.table([_fold_row(context, fold, told[told["fold"] == fold]) for fold in folds])
            + pages.figures(
                (
                    figures.fold_balance([each["depth"] for each in by_fold], folds, "depth in feet"),
                    "depth of each fold",
                ),
                (figures.fold_balance([each["coverage"] for each in by_fold], folds, "coverage"), "salt in each fold"),
            ),
        ),
        *_curves(layout, folds),
        (
            "Score",
            pages.figures(
                (
                    figures.threshold_curve(grid.tolist(), curve, threshold),
                    f"score against threshold, masks under {area} pixels emptied",
                ),
                (figures.bars(_by_coverage(told), "salt coverage"), "cross-fitted score by true coverage"),
                (figures.bars(_by_depth(told), "depth in feet"), "cross-fitted score by depth"),
                (figures.reliability(found, truth), "are probabilities what they say?"),
                (figures.confusion(confusion), "tiles with and without salt, and what was predicted"),
            ),
        ),
        ("Rules", _rules(cv)),
        ("Tiles by error", _tiles(images, truth, found, told, threshold)),
    ]


def _members(context: Context, result: dict) -> list[tuple[str, str]]:
    """Of a blend: what each experiment scores alone, and how much it weighs."""
    layout = context.layout
    if not layout.is_blend:
        return []
    total = sum(result["votes"].values())
    rows = [{"experiment": layout.experiment, "weight": "", "CV": result["cv"]["score"]}]
    for member in layout.members:
        alone = context.freshness.manifest(validate.artifact(member, context.folds))
        weight = result["votes"][member.experiment] / total
        rows.append(
            {"experiment": member.experiment, "weight": weight, "CV": alone.result["cv"]["score"] if alone else None}
        )
    note = (
        '<p class="note">Weights are equal unless others, found on the other folds\' tiles, score better by more than '
        "chance. CV is cross-fitted over the same tiles.</p>"
    )
    return [("Members", note + pages.table(rows))]


def _curves(layout: Layout, folds: Sequence[int]) -> list[tuple[str, str]]:
    """Of a trained network, how it learnt."""
    if layout.is_blend:
        return []
    histories = {fold: _history(layout.fold_folder(fold) / "history.csv") for fold in folds}
    drawn = pages.figures(
        (figures.learning_curve(histories, "loss", "training loss"), "training loss; it jumps where the loss changes"),
        (figures.learning_curve(histories, "score", "score at 0.5"), "score on the fold's validation tiles at 0.5"),
        (figures.learning_curve(histories, "learning_rate", "learning rate"), "the schedule"),
    )
    return [("Learning curves", drawn)]


def _fold_row(context: Context, fold: int, told: pd.DataFrame) -> dict:
    row = {
        "fold": fold,
        "CV": float(told["score"].mean()),
        "tiles": len(told),
        "empty": float((told["coverage"] == 0).mean()),
    }
    if context.layout.is_blend:
        return row
    trained = context.freshness.manifest(train.trained(context.layout, fold))
    result = trained.result if trained else {}
    return row | {
        "best epoch": result.get("best_epoch"),
        "epochs": result.get("epochs"),
        "minutes": round(result["seconds"] / 60, 1) if result else None,
    }


def _by_coverage(told: pd.DataFrame) -> list[tuple[str, float, int]]:
    groups = [
        (name, told.loc[(told["coverage"] >= low) & (told["coverage"] <= high), "score"])
        for low, high, name in COVERAGE_CLASSES
    ]
    return [(name, float(scores.mean()), len(scores)) for name, scores in groups if len(scores)]


def _by_depth(told: pd.DataFrame) -> list[tuple[str, float, int]]:
    classes = pd.qcut(told["depth"], 5, duplicates="drop")
    groups = told.groupby(classes, observed=True)["score"]
    return [(f"{at.left:.0f}-{at.right:.0f}", float(scores.mean()), len(scores)) for at, scores in groups]


def _rules(cv: dict) -> str:
    """What each rule after the threshold gains."""
    note = (
        f'<p class="note">Gain of each rule on all out-of-fold tiles, after those that were taken before it, with the '
        f"bounds within which it lies by more than chance. With the rules that the other folds chose, the cross-fitted "
        f"score is {cv['score']:.4f}; with threshold and smallest area alone, {cv['score_without_rules']:.4f}."
        + (f" The gate's level is {cv['gate']:.2f}." if cv["gate"] is not None else "")
        + "</p>"
    )
    return note + pages.table([{**each, "taken": "yes" if each["taken"] else "no"} for each in cv["gains"]])


def _by_error(told: pd.DataFrame) -> np.ndarray:
    """Rows from the worst tile to the best: by score, then by lost area, then by id.

    Args:
        told: the rows of ``scores.csv``.

    Returns:
        (n,) int64, positions of the rows.
    """
    predicted, true = (np.rint(told[name].to_numpy() * TILE**2) for name in ("predicted", "coverage"))
    iou = told["iou"].to_numpy()
    # The union less the intersection, from the sum of both areas and their ratio.
    lost = np.rint((predicted + true) * (1 - iou) / (1 + iou))
    return np.lexsort((told["id"].to_numpy(str), -lost, told["score"].to_numpy()))


def _tiles(images: np.ndarray, truth: np.ndarray, found: np.ndarray, told: pd.DataFrame, threshold: float) -> str:
    """The worst, the median and the best tiles with a border of salt; all or nothing of one kind shows little."""
    scores = told["score"].to_numpy()
    order = _by_error(told)
    order = order[told["coverage"].between(0.001, 0.97).to_numpy()[order]]
    middle = max(len(order) // 2 - EACH // 2, 0)
    shown = {"worst": order[:EACH], "median": order[middle : middle + EACH], "best": order[-EACH:]}
    parts = [
        '<p class="note">orange line: truth; white line: prediction at the chosen threshold; in the difference, orange '
        "was missed and blue was invented</p>"
    ]
    for name, which in shown.items():
        if len(which):
            titles = [f"{told['id'].iloc[index]}\nscore {scores[index]:.2f}" for index in which]
            png = figures.tiles_picture(images[which], truth[which], found[which], threshold, titles)
            parts.append(f"<h3>{name}</h3>{pages.picture(png, f'{name} tiles: image, truth, prediction, difference')}")
    return "".join(parts)


def _settings(context: Context) -> str:
    settings = context.layout.settings
    # Of a blend no network is trained; those of its members stand on their own pages.
    sections = ("split", "submit") if context.layout.is_blend else settings.__struct_fields__
    apart = [
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
        + pages.table(apart)
        + f"<details><summary>all settings</summary>{pages.table(every)}</details>"
    )


def _history(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


STAGE = Stage(
    name="report",
    help="draw the experiment's page and the leaderboard",
    artifacts=lambda context: [artifact(context.layout, context.folds)],
    make=make,
    blended=True,
)
