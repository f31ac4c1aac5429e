"""Charts of an experiment's page: learning curves, score against threshold, and reliability."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.reporting import figures, pages
from pipeline.reporting.experiment import Experiment
from pipeline.reporting.settings import late_epoch, marked_epoch
from pipeline.scoring import thresholding

CURVE = np.linspace(0.05, 0.95, 46)
"""Thresholds at which the curve of the score is drawn."""
Drawings = list[tuple[Any, str]]
"""SVGs and captions."""


def learning_curves(experiment: Experiment) -> Drawings:
    """Score, loss and learning rate over epochs; empty for a blend."""
    histories = experiment.histories
    if not histories:
        return []
    late = late_epoch(experiment.settings.train, max(map(len, histories.values())))
    marked = {fold: trained["best_epoch"] for fold, trained in experiment.training.items()}
    curve = figures.learning_curve
    score = curve(histories, "score", "score at 0.5", marked, late, experiment.nothing)
    note = "; dashed: the loss changes" if late else ""
    star = f"{marked_epoch(experiment.settings.train)} epoch"
    return [
        pages.drawing(score, f"score on the fold's validation tiles at 0.5; star: {star}{note}"),
        pages.drawing(curve(histories, "loss", "training loss", None, late), f"training loss{note}"),
        pages.drawing(curve(histories, "learning_rate", "learning rate"), "learning rate"),
    ]


def threshold_and_reliability(experiment: Experiment) -> Drawings:
    """The score against the threshold, and the calibration of the probabilities."""
    threshold, area = experiment.result["cv"]["threshold"], experiment.result["cv"]["min_area"]
    tiles = experiment.tiles
    counts = thresholding.count(tiles.probabilities, tiles.truth)
    curve = [float(thresholding.scores_at(counts, float(each), area).mean()) for each in CURVE]
    return [
        pages.drawing(
            figures.threshold_curve(CURVE.tolist(), curve, threshold),
            f"score against threshold; masks under {area} pixels are emptied",
        ),
        pages.drawing(
            figures.reliability(tiles.probabilities, tiles.truth), "how often a pixel is salt, against its probability"
        ),
    ]
