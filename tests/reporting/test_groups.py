"""Groups and order of the tiles of a report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.config import TILE
from pipeline.reporting import groups
from pipeline.scoring import metric


def test_tiles_are_ordered_by_wrong_area_then_by_score_then_by_id():
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
    assert groups.wrong_area(scores).tolist() == [505, 8080, 8080, 0, 101, 505]
    assert scores["id"].to_numpy()[groups.worst(scores)].tolist() == ["b", "z", "k", "m", "c"]


def test_false_alarms_and_slivers_are_found_the_worst_first():
    scores = pd.DataFrame(
        {
            "id": list("abcdefgh"),
            "score": [0.0, 0.0, 1.0, 0.0, 0.0, 0.5, 1.0, 0.0],
            "iou": [0.0, 0.0, 1.0, 0.0, 0.0, 0.7, 1.0, 0.0],
            "predicted": [0.1, 0.2, 0.0, 0.0, 0.0, 0.05, 0.05, 0.0],
            "coverage": [0.0, 0.0, 0.0, 0.01, 0.1, 0.06, 0.05, 0.11],
        }
    )
    assert scores["id"].to_numpy()[groups.false_alarms(scores)].tolist() == ["b", "a"]
    assert scores["id"].to_numpy()[groups.slivers(scores)].tolist() == ["e", "d", "f"]


def test_groups_have_lost_points_mean_scores_and_numbers_of_tiles():
    scores = pd.DataFrame(
        {
            "coverage": [0, 0, 0.05, 0.2, 0.9],
            "score": [1.0, 0.0, 0.2, 0.3, 0.4],
            "depth": [100, 200, 300, 400, 500],
        }
    )
    assert groups.by_coverage(scores) == [
        ("empty", 1.0, 2, 0.5, 1),
        ("to 10 %", 0.8, 1, 0.2, 0),
        ("to 30 %", 0.7, 1, 0.3, 0),
        ("over 60 %", 0.6, 1, 0.4, 0),
    ]
    by_depth = groups.by_depth(scores)
    assert [(each.score, each.tiles) for each in by_depth] == [(score, 1) for score in scores["score"]]
    assert by_depth[0].name == "100-180"


@pytest.mark.parametrize(
    ("depths", "names"),
    [
        ([0, 0, 0, 0, 0], []),
        ([0, 0.25, 0.5, 0.75, 1], ["0.0-0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1.0"]),
        ([0, 2.5, 5, 7.5, 10], ["0-2", "2-4", "4-6", "6-8", "8-10"]),
        ([0, 0, 0, 0, 7], ["0-1", "1-7"]),
    ],
)
def test_classes_of_depth_have_names_that_differ(depths: list[float], names: list[str]):
    found = groups.by_depth(pd.DataFrame({"depth": depths, "score": [0.5] * 5}))
    assert [each.name for each in found] == names
    assert sum(each.tiles for each in found) == (5 if names else 0)
