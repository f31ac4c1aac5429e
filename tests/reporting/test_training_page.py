"""The page of a training and its charts."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.reporting.line_chart import BOTTOM, LEFT, RIGHT, TOP, line_chart, ticks
from pipeline.reporting.training_page import FoldProgress, TrainingRun, page, remaining_seconds
from tests.browser import browser, look, set_dark

NOW = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)


def fold(number: int, epochs: int, seconds: float = 60.0, trained: bool = False) -> FoldProgress:
    rows = [
        {"epoch": epoch, "loss": 1 / epoch, "score": 1 - 1 / epoch, "seconds": seconds, "seconds_scoring": 0.0}
        for epoch in range(1, epochs + 1)
    ]
    return FoldProgress(number, rows, trained)


def run(*assignments: str) -> TrainingRun:
    settings = load("demo", ["train.epochs=10", *assignments])
    return TrainingRun("demo", "demo", settings, "a machine", "python -m pipeline train")


@pytest.mark.parametrize(
    ("folds", "at_once", "minutes"),
    [
        ([fold(0, 4), fold(1, 0)], 1, 16),
        ([fold(0, 4), fold(1, 0)], 2, 10),
        ([fold(0, 10, trained=True), fold(1, 0)], 1, 10),
        ([fold(0, 3, trained=True), fold(1, 10, trained=True)], 1, 0),
        # Folds at different paces; the third has the median of both, and starts where the first ends.
        ([fold(0, 5, 60), fold(1, 5, 120), fold(2, 0)], 2, 20),
    ],
)
def test_the_time_left_follows_from_the_epochs_that_were_measured(
    folds: list[FoldProgress], at_once: int, minutes: float
):
    assert remaining_seconds(folds, 10, at_once) == 60 * minutes


def test_before_the_first_epoch_the_time_left_is_unknown():
    assert remaining_seconds([fold(0, 0), fold(1, 0)], 10, 1) is None
    drawn = page(run(), [fold(0, 0)], NOW)
    assert "the time left is known after the first epoch" in drawn
    assert "none before the first epoch is done" in drawn


def test_the_first_epochs_of_a_fold_do_not_count_for_ever():
    slow = fold(0, 2, 600.0)
    later = FoldProgress(0, [*slow.history, *({**row, "seconds": 6.0} for row in fold(0, 5).history)], False)
    assert remaining_seconds([later], 10, 1) == 18


def test_an_end_on_another_day_has_its_date():
    assert "about <b>6 min</b> left, until 23:36 UTC" in page(run(), [fold(0, 4)], NOW)
    drawn = page(run("train.early_stopping=3"), [fold(0, 4), fold(1, 0), fold(2, 0), fold(3, 0)], NOW)
    assert "at most about <b>36 min</b> left, until 2026-11-27 00:06 UTC" in drawn


def test_a_fold_that_stopped_early_is_done():
    drawn = page(run("train.early_stopping=3"), [fold(0, 4, trained=True), fold(1, 0)], NOW)
    assert "4 of 14 epochs" in drawn
    assert "done, stopped early" in drawn


@pytest.mark.parametrize(("ended", "reloads"), [(None, True), ("", False), ("interrupted", False)])
def test_a_browser_reloads_the_page_only_while_training_runs(ended: str | None, reloads: bool):
    drawn = page(run(), [fold(0, 4)], NOW, ended=ended)
    assert ('<meta http-equiv="refresh" content="30">' in drawn) == reloads
    assert ('href="report.html"' in drawn) == (ended == "")


def test_other_folds_are_shown_but_not_waited_for():
    other = FoldProgress(1, fold(1, 2).history, False, wanted=False)
    drawn = page(run(), [fold(0, 4), other], NOW)
    assert "4 of 10 epochs" in drawn
    assert "about <b>6 min</b> left" in drawn
    assert drawn.count("<b>fold 1</b>") == 1


# ---- Charts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.812, 0.8445, [0.81, 0.82, 0.83, 0.84, 0.85]),
        (0.3, 0.3, [0.24, 0.26, 0.28, 0.3, 0.32, 0.34, 0.36]),
        (-2.0, 130.0, [-50.0, 0.0, 50.0, 100.0, 150.0]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float, found: list[float]):
    assert ticks(low, high, 6) == pytest.approx(found)


def test_points_lie_where_the_axes_say():
    chart = line_chart({3: [(1, 0.0), (4, 1.0), (2, math.nan)]}, "score", 4, best={3: 4}, late=3, level=0.5)
    (line,) = chart.lines
    assert line.name == "fold 3"
    width = (RIGHT - LEFT) / 4
    assert line.path == f"M{LEFT + width / 2} {float(BOTTOM)}L{RIGHT - width / 2} {float(TOP)}"
    assert line.star == (RIGHT - width / 2, TOP)
    assert chart.late == (LEFT + RIGHT) / 2
    assert chart.level == (TOP + BOTTOM) / 2
    assert [text for _, text in chart.y_ticks] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert chart.x_ticks == [(LEFT + width * (epoch - 0.5), str(epoch)) for epoch in range(1, 5)]


def test_a_fold_without_a_finite_value_has_an_empty_line():
    (line,) = line_chart({0: [(1, math.inf)]}, "loss", 5).lines
    assert (line.path, line.dots, line.star) == ("", "", None)


def test_the_page_opens_in_a_browser_and_fits_a_phone(tmp_path: Path):
    path = tmp_path / "progress.html"
    path.write_text(page(run(), [fold(0, 10, trained=True), fold(1, 4), fold(2, 0)], NOW, nothing=0.39))
    with browser(tmp_path) as window:
        look(window, path)
        headings = [each.text for each in window.find_elements("css selector", "h2")]
        assert headings == ["Folds", "Learning curves", "Settings", "Machine"]
        colours = set()
        for dark in (False, True):
            set_dark(window, dark)
            window.get(path.as_uri())
            text = "return getComputedStyle(document.querySelector('svg.lines text')).fill"
            line = "return getComputedStyle(document.querySelector('svg.lines g')).stroke"
            colours |= {window.execute_script(text), window.execute_script(line)}
            widths = "return [...document.querySelectorAll('.done i')].map(each => each.getBoundingClientRect().width /"
            shares = window.execute_script(f"{widths} each.parentNode.getBoundingClientRect().width)")
            assert shares == pytest.approx([14 / 30, 1, 0.4, 0], abs=0.01)
        assert len(colours) == 4
