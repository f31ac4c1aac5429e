"""The experiment's page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.config import TILE
from pipeline.scoring import metric
from pipeline.stages import report


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
    told = pd.DataFrame(
        {
            "id": ["m", "z", "b", "a", "c", "k"],
            "score": metric.tile_scores(masks, truth),
            "iou": metric.iou(masks, truth).round(6),
            "predicted": masks.mean(axis=(1, 2)).round(6),
            "coverage": truth.mean(axis=(1, 2)),
        }
    )
    assert told["id"].to_numpy()[report._by_error(told)].tolist() == ["b", "z", "k", "m", "c", "a"]


def test_a_warning_stands_in_the_headline():
    cv = {"score": 0.25, "interval": [0.2, 0.3], "tiles": 9, "score_at_half": 0.2, "threshold": 0.5, "min_area": 0}
    cv |= {"rules": [], "iou": 0.1, "dice": 0.1, "empty_accuracy": 0.5, "nothing": 0.4}
    training = dict.fromkeys(("parameters", "minutes", "tiles_per_second", "backend"), 1)
    result = {"cv": cv, "training": training, "folds": [0], "votes": {"a": 1, "b": 0}}
    page = report._headline(result)
    assert page.count('<p class="warning">') == 2
    assert "CV 0.2500 is not above 0.4000" in page
    assert "this blend is a alone" in page
    assert "warning" not in report._headline({**result, "cv": cv | {"nothing": 0.1}, "votes": {"a": 1}})
