"""The experiment's page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import config
from pipeline.reporting import experiment_page
from pipeline.reporting.experiment_page import Experiment
from pipeline.scoring.validation import validate
from tests.conftest import blobs, noisy


@pytest.fixture
def experiment() -> Experiment:
    """A trained experiment of two folds."""
    images, truth = blobs(12)
    probabilities, folds = noisy(truth, 0, 30), np.arange(12) % 2
    validated = validate([probabilities], truth, images, folds, config.SubmitSettings())
    scores = pd.DataFrame(
        {
            "id": [f"tile{index}" for index in range(12)],
            "depth": np.arange(100, 220, 10),
            "coverage": truth.mean(axis=(1, 2)),
            "fold": folds,
            "score": validated.tile_scores,
            "iou": validated.tile_iou,
            "predicted": validated.predicted_area / 101**2,
        }
    )
    result = {"cv": validated.as_dict(), "folds": [0, 1], "votes": {"unet": 1}}
    result["training"] = {"parameters": 1234, "minutes": 2.5, "tiles_per_second": 60.0, "backend": "tensorflow"}
    history = [{"epoch": str(epoch), "loss": "0.5", "score": "0.6", "learning_rate": "0.01"} for epoch in (1, 2)]
    return Experiment(
        name="unet",
        dataset="demo",
        settings=config.load("unet", ["train.epochs=7", "submit.message=<script>"]),
        result=result,
        scores=scores,
        images=images,
        truth=truth,
        probabilities=probabilities,
        training={0: {"best_epoch": 3, "epochs": 4, "seconds": 90.0}},
        histories={0: history, 1: history},
        members={},
    )


def test_a_page_has_every_section_and_shows_every_tile_once(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    titles: list[str] = []

    def drawn(images: Any, truth: Any, found: Any, threshold: float, names: list[str]) -> bytes:
        assert len(images) == len(truth) == len(found) == len(names)
        titles.extend(names)
        return b"png"

    monkeypatch.setattr(experiment_page, "tiles_picture", drawn)
    page = experiment_page.page(experiment)
    assert "<title>unet on demo</title>" in page
    headings = ["Folds", "Learning curves", "Score", "Rules", "Tiles by error", "Settings"]
    assert [page.index(f"<h2>{heading}</h2>") for heading in headings] == sorted(
        page.index(f"<h2>{heading}</h2>") for heading in headings
    )
    assert "<h2>Members</h2>" not in page
    assert page.count("<svg") == 2 + 3 + 5
    assert page.count('src="data:image/png;base64,cG5n"') == 3
    assert titles[0].startswith("tile")
    assert "&lt;script&gt;" in page
    assert '<script>"' not in page


def test_a_fold_without_a_training_has_no_epochs(experiment: Experiment):
    scores = experiment.scores[experiment.scores["fold"] == 0]
    assert experiment_page._fold_row(experiment, 0, scores) == {
        "fold": 0,
        "CV": pytest.approx(scores["score"].mean()),
        "tiles": 6,
        "empty": pytest.approx((scores["coverage"] == 0).mean()),
        "best epoch": 3,
        "epochs": 4,
        "minutes": 1.5,
    }
    row = experiment_page._fold_row(experiment, 1, experiment.scores[experiment.scores["fold"] == 1])
    assert (row["best epoch"], row["epochs"], row["minutes"]) == (None, None, None)


def test_the_page_of_a_blend_lists_members_and_no_training(experiment: Experiment):
    result = {**experiment.result, "votes": {"demo": 1, "unet": 3}}
    members = {"demo": 0.5, "unet": None}
    blend = replace(experiment, name="demo+unet", result=result, training={}, histories={}, members=members)
    ((heading, html),) = experiment_page._members(blend)
    assert heading == "Members"
    assert [html.count(text) for text in (">demo+unet<", ">0.2500<", ">0.7500<", ">0.5000<")] == [1, 1, 1, 1]
    assert experiment_page._learning_curves(blend) == []
    assert set(experiment_page._fold_row(blend, 0, blend.scores)) == {"fold", "CV", "tiles", "empty"}
    settings = experiment_page._settings(blend)
    assert "split.folds" in settings
    assert "network.width" not in settings
    assert "network.width" in experiment_page._settings(experiment)


def test_the_headline_has_the_warnings():
    cv = {"score": 0.25, "interval": [0.2, 0.3], "tiles": 9, "score_at_half": 0.2, "threshold": 0.5, "min_area": 0}
    cv |= {"rules": [], "iou": 0.1, "dice": 0.1, "empty_accuracy": 0.5, "nothing": 0.4}
    training = dict.fromkeys(("parameters", "minutes", "tiles_per_second", "backend"), 1)
    result = {"cv": cv, "training": training, "folds": [0], "votes": {"a": 1, "b": 0}}
    page = experiment_page._headline(result)
    assert page.count('<p class="warning">') == 2
    assert "CV 0.2500 is not above 0.4000" in page
    assert "this blend is a alone" in page
    assert "warning" not in experiment_page._headline({**result, "cv": cv | {"nothing": 0.1}, "votes": {"a": 1}})
