"""The leaderboard: sorted, honest about differences, and readable in a browser."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts import Manifest, Output, measure, read_manifest, write_manifest
from pipeline.reporting import leaderboard
from tests.browser import browser, look

TILES = 400


def experiment(root: Path, name: str, scores: np.ndarray, receipt: dict[str, Any] | None = None) -> None:
    """What validation, and perhaps submission, leave of an experiment."""
    folder = root / "data/demo/experiments" / name
    folder.mkdir(parents=True)
    lines = [f"tile{index},{score}" for index, score in enumerate(scores)]
    (folder / "scores.csv").write_text("\n".join(["id,score", *lines]) + "\n")
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
    leave(folder / "cv.json", "validate", name, result, outputs={"scores.csv": measure(folder / "scores.csv")})
    if receipt is not None:
        leave(root / "submissions/demo" / f"{name}.json", "submit", "csv", receipt, {"validate": name})


def leave(
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
    experiment(tmp_path, "bad", bad, {"score": 0.61})
    experiment(tmp_path, "good", good, {"kaggle": {"public": 0.8, "private": 0.81}})
    experiment(tmp_path, "nearly-good", nearly)
    return tmp_path


def test_one_row_per_experiment_the_best_first_in_three_formats(root: Path):
    leaderboard.write(root)
    with (root / "submissions/leaderboard.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["experiment"] for row in rows][-1] == "bad"
    assert rows[0]["CV"] >= rows[1]["CV"] >= rows[2]["CV"]
    good = next(row for row in rows if row["experiment"] == "good")
    assert (good["public"], good["private"]) == ("0.8", "0.81")
    assert float(good["CV - test"]) == pytest.approx(float(good["CV"]) - 0.81)
    assert {"low", "high", "at 0.5", "threshold", "IoU", "Dice", "empty accuracy", "minutes", "parameters"} <= set(good)
    text = (root / "submissions/leaderboard.md").read_text()
    assert "| bad | demo |" in text
    assert "1,234,567" in text


def test_pairs_of_experiments_are_better_worse_or_not_to_be_told_apart(root: Path):
    entries = {entry.row["experiment"]: entry.scores for entry in leaderboard.read(root)}
    assert leaderboard.verdict(entries["good"], entries["bad"]).startswith("better: +0.")
    assert leaderboard.verdict(entries["bad"], entries["good"]).startswith("worse: -0.")
    assert leaderboard.verdict(entries["good"], entries["nearly-good"]).startswith("no difference that shows")
    assert leaderboard.verdict(entries["good"], {"other": 1.0}) == "no tile in common"


def test_pairing_sees_what_the_intervals_of_the_means_cannot():
    draw = np.random.default_rng(1)
    scores = draw.integers(0, 11, 600) / 10
    lifted = np.where(draw.random(600) < 0.2, np.minimum(scores + 0.1, 1), scores).round(1)
    mean, low, high, tiles = leaderboard.difference(
        {str(index): score for index, score in enumerate(lifted)},
        {str(index): score for index, score in enumerate(scores)},
    )
    assert tiles == 600
    assert 0 < low < mean < high < 0.03


def test_a_score_that_belongs_to_an_earlier_validation_is_not_shown(root: Path):
    path = root / "data/demo/experiments/good/cv.json"
    before = read_manifest(path)
    assert before is not None
    leave(path, "validate", "newer", before.result)
    good = next(entry.row for entry in leaderboard.read(root) if entry.row["experiment"] == "good")
    assert good["private"] is None
    assert good["CV - test"] is None


def test_damaged_scores_are_named_and_compared_with_nothing(root: Path, capsys: pytest.CaptureFixture[str]):
    path = root / "data/demo/experiments/good/scores.csv"
    path.write_text(path.read_text().replace("tile7,0.", "tile7,1.", 1))
    leaderboard.write(root)
    assert f"{path}: is damaged" in capsys.readouterr().out
    text = (root / "submissions/leaderboard.md").read_text()
    assert "no tile in common" in text
    assert "no difference that shows" not in text.split("| good |")[1]
    assert "| good | demo |" in text


def test_an_empty_leaderboard_says_so(tmp_path: Path):
    leaderboard.write(tmp_path)
    assert "nothing was validated yet" in (tmp_path / "submissions/leaderboard.md").read_text()


def test_the_page_works_in_a_browser(root: Path, tmp_path_factory: pytest.TempPathFactory):
    leaderboard.write(root)
    path = root / "submissions/leaderboard.html"
    with browser(tmp_path_factory.mktemp("browser")) as window:
        look(window, path)
        column = "return [...document.querySelectorAll('table.sortable tbody tr')].map(row => row.cells[%d].innerText)"
        names = window.execute_script(
            "return [...document.querySelectorAll('table.sortable th')].map(each => each.innerText)"
        )
        for name in ("CV", "experiment", "private"):
            at = names.index(name)
            head = window.find_elements("css selector", "table.sortable th button")[at]
            window.execute_script("arguments[0].scrollIntoView({inline: 'center'})", head)
            orders = []
            for _ in range(2):
                head.click()
                orders.append([each for each in window.execute_script(column % at) if each])
            assert orders[0] == sorted(orders[0], reverse=True), name
            assert orders[1] == sorted(orders[1]), name
            if name == "private":  # the unknown stay last
                assert [bool(each) for each in window.execute_script(column % at)] == [True, False, False]
        assert "<svg" in path.read_text()
