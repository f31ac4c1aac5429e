"""Draw the experiment's page and write the leaderboard."""

from __future__ import annotations

import time

import numpy as np

from pipeline import artifacts, metric, report, tiles
from pipeline.config import differences
from pipeline.folds import fold_of_tiles
from pipeline.progress import say
from pipeline.stages import Context

COVERAGE_CLASSES = (
    (0, 0, "empty"),
    (1e-9, 0.1, "to 10 %"),
    (0.1, 0.3, "to 30 %"),
    (0.3, 0.6, "to 60 %"),
    (0.6, 1, "more"),
)
EACH = 4
"""Tiles shown of the worst, the median and the best."""


def run(context: Context) -> None:
    """Write ``report.html`` beside the experiment's artifacts, and ``submissions/leaderboard.*``."""
    tree, folds = context.tree, context.folds
    artifact = tree.report(folds)
    started = time.monotonic()
    receipt = context.ledger.manifest(tree.submission(folds))
    if receipt is None:
        return
    result = receipt.result
    with artifacts.making(artifact) as folder:
        sections = [("", _headline(result)), *_figures(context, result), ("Settings", _settings(context))]
        title = f"{tree.experiment} on {tree.dataset}"
        artifacts.write_text(folder / "report.html", report.page(title, sections))
        artifacts.finish(artifact, {}, started)
    report.write_leaderboard(tree.submissions)
    say(f"report: {folder / 'report.html'}")


def _headline(result: dict) -> str:
    cv, training = result["cv"], result["training"]
    low, high = cv["interval"]
    lines = [
        f'<p class="big">CV {cv["score"]:.4f}</p>',
        f'<p class="note">cross-fitted over {cv["tiles"]:,} out-of-fold tiles of folds '
        f"{', '.join(map(str, result['folds']))}; 95 % interval {low:.4f} to {high:.4f}; "
        f"{cv['score_at_half']:.4f} at a plain threshold of 0.5</p>",
    ]
    if "score" in result:
        lines.append(f"<p>Score against the survey's known test answers: <b>{result['score']:.4f}</b></p>")
    row = {
        "threshold": round(cv["threshold"], 3),
        "smallest mask": cv["min_area"],
        "parameters": f"{training['parameters']:,}",
        "minutes of training": training["minutes"],
        "tiles/s": training["tiles_per_second"],
        "backend": training["backend"],
    }
    return "".join(lines) + report.table([row]) + "<h2>Folds</h2>" + report.table([cv["folds"]])


def _figures(context: Context, result: dict) -> list[tuple[str, str]]:
    tree, folds = context.tree, context.folds
    histories = {fold: report.read_history(tree.fold_folder(fold) / "history.csv") for fold in folds}
    store, dealt = tiles.load(tree.tiles.folder), fold_of_tiles(tree.split.folder)
    rows = np.concatenate([np.flatnonzero(dealt == fold) for fold in folds])
    found = np.concatenate([np.load(tree.fold_folder(fold) / "oof.npy", allow_pickle=False) for fold in folds])
    truth, images = store.train_masks[rows], store.train_images[rows]
    threshold, area = result["cv"]["threshold"], result["cv"]["min_area"]
    counts = metric.count(found, truth)
    scores = metric.scores_at(counts, threshold, area)
    grid = np.linspace(0.05, 0.95, 46)
    curve = [float(metric.scores_at(counts, float(cut), area).mean()) for cut in grid]
    chosen = store.train.iloc[rows]
    coverage, depth = chosen["coverage"].to_numpy(), chosen["depth"].to_numpy()
    by_coverage = [
        (name, float(scores[inside].mean()), int(inside.sum()))
        for low, high, name in COVERAGE_CLASSES
        if (inside := (coverage >= low) & (coverage <= high)).any()
    ]
    edges = np.quantile(depth, np.linspace(0, 1, 6))
    place = np.clip(np.searchsorted(edges, depth, side="right") - 1, 0, 4)
    by_depth = [
        (f"{edges[k]:.0f}-{edges[k + 1]:.0f}", float(scores[place == k].mean()), int((place == k).sum()))
        for k in range(5)
        if (place == k).any()
    ]
    return [
        ("Learning curves", report.drawing(report.learning_curves(histories), "loss, score and rate over epochs")),
        (
            "Score against threshold",
            report.drawing(report.threshold_curve(grid.tolist(), curve, threshold, area), "score over thresholds"),
        ),
        ("Score by coverage", report.drawing(report.bars(by_coverage, "salt coverage"), "score by coverage")),
        ("Score by depth", report.drawing(report.bars(by_depth, "depth in feet"), "score by depth")),
        ("Tiles by error", _tiles(images, truth, found, scores, chosen["id"].tolist(), threshold)),
    ]


def _tiles(
    images: np.ndarray, truth: np.ndarray, found: np.ndarray, scores: np.ndarray, ids: list[str], threshold: float
) -> str:
    """The worst, the median and the best tiles that hold salt (an empty tile that is right shows nothing)."""
    salted = np.flatnonzero(truth.any(axis=(1, 2)))
    order = salted[np.argsort(scores[salted], kind="stable")]
    middle = max(len(order) // 2 - EACH // 2, 0)
    shown = {"worst": order[:EACH], "median": order[middle : middle + EACH], "best": order[-EACH:]}
    parts = []
    for name, which in shown.items():
        if len(which):
            titles = [f"{ids[index]}\nscore {scores[index]:.2f}" for index in which]
            png = report.tiles_picture(images[which], truth[which], found[which], threshold, titles)
            parts.append(f"<h3>{name}</h3>{report.picture(png, f'{name} tiles: image, truth, prediction')}")
    return '<p class="note">orange: truth; white: prediction at the chosen threshold</p>' + "".join(parts)


def _settings(context: Context) -> str:
    rows = [
        {"setting": key, "default": str(old), "here": str(new)}
        for key, (old, new) in differences(context.tree.settings).items()
    ]
    return "<p>What differs from the defaults:</p>" + report.table(rows)
