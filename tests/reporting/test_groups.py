"""Groups and order of the tiles of a report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.config import TILE
from pipeline.reporting import groups
from pipeline.scoring import metric


def test_tiles_are_ordered_by_score_then_by_lost_area_then_by_id():
    draw = np.random.default_rng(0)
    truth = np.zeros((6, TILE, TILE), bool)
    masks = np.zeros_like(truth)
    truth[0, :5] = True  # missed: 505 pixels
    truth[1, :80] = True  # missed: 8,080 pixels
    truth[2, :40], masks[2, 50:90] = True, True  # missed and invented: 8,080 pixels
    truth[3] = masks[3] = draw.random((TILE, TILE)) < 0.5  # right
    truth[4, :10], masks[4, :11] = True, True  # nearly right
    truth[5, :5] = True  # missed: 505 pixels, with an id before that of the first
    scores = pd.DataFrame(
        {
            "id": ["m", "z", "b", "a", "c", "k"],
            "score": metric.tile_scores(masks, truth),
            "iou": metric.iou(masks, truth).round(6),
            "predicted": masks.mean(axis=(1, 2)).round(6),
            "coverage": truth.mean(axis=(1, 2)),
        }
    )
    assert scores["id"].to_numpy()[groups.by_error(scores)].tolist() == ["b", "z", "k", "m", "c", "a"]


def test_tiles_with_a_border_of_salt_are_examples():
    coverage = np.linspace(0, 1, 21)  # the first tile is empty, the last two are full or nearly
    scores = pd.DataFrame({"id": [f"{at:02d}" for at in range(21)], "score": 0.5, "iou": 0.5, "predicted": 0.5})
    scores = scores.assign(score=np.arange(21) / 20, coverage=coverage)
    chosen = {name: rows.tolist() for name, rows in groups.examples(scores).items()}
    assert chosen == {"worst": [1, 2, 3, 4], "median": [8, 9, 10, 11], "best": [16, 17, 18, 19]}
    assert all(len(rows) == 0 for rows in groups.examples(scores.iloc[[0, 20]]).values())


def test_groups_have_mean_scores_and_numbers_of_tiles():
    scores = pd.DataFrame(
        {
            "coverage": [0, 0, 0.05, 0.2, 0.9],
            "score": [1.0, 0.0, 0.2, 0.3, 0.4],
            "depth": [100, 200, 300, 400, 500],
        }
    )
    assert groups.by_coverage(scores) == [
        ("empty", 0.5, 2),
        ("to 10 %", 0.2, 1),
        ("to 30 %", 0.3, 1),
        ("more", 0.4, 1),
    ]
    by_depth = groups.by_depth(scores)
    assert [(score, tiles) for _, score, tiles in by_depth] == [(score, 1) for score in scores["score"]]
    assert by_depth[0][0] == "100-180"
