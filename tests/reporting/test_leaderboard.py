"""The leaderboard: complete, sorted, and readable in a browser."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from pipeline.reporting import leaderboard
from tests.browser import browser, look


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


def test_damaged_scores_are_named_and_compared_with_nothing(root: Path, capsys: pytest.CaptureFixture[str]):
    path = root / "data/demo/experiments/good/scores.csv"
    path.write_text(path.read_text().replace("tile7,0.", "tile7,1.", 1))
    leaderboard.write(root)
    printed = capsys.readouterr().out
    assert f"{path}: is damaged" in printed
    again = "validate DATASET=demo EXPERIMENT=good"
    assert printed.strip().endswith(f"make clean-{again}, make {again}")
    text = (root / "submissions/leaderboard.md").read_text()
    assert "no tile in common" in text
    assert "no significant difference" not in text.split("| good |")[1]
    assert "| good | demo |" in text


def test_an_empty_leaderboard_has_a_line_of_text(tmp_path: Path):
    leaderboard.write(tmp_path)
    for name in ("leaderboard.md", "leaderboard.html"):
        assert "nothing was validated yet" in (tmp_path / "submissions" / name).read_text()


def test_the_page_shows_what_matters_first_and_compares_in_colour(root: Path):
    (root / "data/demo/experiments/bad/report.html").write_text("drawn")
    leaderboard.write(root)
    page = (root / "submissions/leaderboard.html").read_text()
    first, rest = page.split("<details>", 1)
    names = re.findall("<th[^>]*><button>(.*?)</button>", first)
    assert names == ["experiment", "dataset", "CV", "interval", "public", "private", "CV - score", "minutes"]
    assert "<button>empty accuracy</button>" in rest
    assert page.count('<a href="../data/demo/experiments/bad/report.html">bad</a>') == 2
    assert "good/report.html" not in page  # it is not drawn yet
    assert page.count('class="better"') == page.count('class="worse"') == 2


def test_the_page_works_in_a_browser(root: Path, tmp_path_factory: pytest.TempPathFactory):
    leaderboard.write(root)
    path = root / "submissions/leaderboard.html"
    with browser(tmp_path_factory.mktemp("browser")) as window:
        look(window, path)
        column = "return [...document.querySelectorAll('#leaderboard tbody tr')].map(row => row.cells[%d].innerText)"
        names = window.execute_script(
            "return [...document.querySelectorAll('#leaderboard th')].map(each => each.innerText)"
        )
        for name in ("CV", "experiment", "private"):
            at = names.index(name)
            head = window.find_elements("css selector", "#leaderboard th button")[at]
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
