"""The experiment's page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import config
from pipeline.reporting import experiment_page, figures, groups, pages
from pipeline.reporting.experiment import Experiment
from pipeline.reporting.galleries import Tiles
from pipeline.reporting.settings import late_epoch
from pipeline.scoring.validation import validate
from pipeline.training.loop import loss_of_epoch
from tests.browser import browser, look, set_dark
from tests.conftest import blobs, noisy


@pytest.fixture(scope="module")
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
        settings=config.load("unet", ["train.epochs=7", "train.late_loss_start=0.1", "submit.message=<script>"]),
        result=result,
        tiles=Tiles(scores, images, truth, probabilities),
        training={0: {"best_epoch": 3, "epochs": 4, "seconds": 90.0}},
        histories={0: history, 1: history},
        members={},
        provenance={"commit": "git"},
        command="make submit DATASET=demo",
        show="make show TILE=0 DATASET=demo",
    )


@pytest.fixture(scope="module")
def page(experiment: Experiment) -> str:
    """The page of that experiment."""
    return experiment_page.page(experiment)


@pytest.fixture
def empty_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures with captions alone, since drawing takes most of the time of a page."""
    monkeypatch.setattr(pages, "drawing", lambda figure, caption: ("", caption))


HEADINGS = [
    "Where points are lost",
    "Tiles",
    "Folds",
    "Learning curves",
    "Threshold and reliability",
    "Rules",
    "Settings",
    "Provenance",
]


def headings(page: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", page)


def test_a_page_has_every_section(page: str):
    assert "<title>unet on demo</title>" in page
    assert headings(page) == HEADINGS
    assert page.count("<svg") == 3 + 2
    assert page.count("<h3 id=") == 3
    assert "&lt;script&gt;" in page
    assert '<script>"' not in page
    assert 'href="../../../../submissions/leaderboard.html"' in page
    assert '<td data-value="git" class="long">git</td>' in page
    assert "make submit DATASET=demo" in page


@pytest.mark.usefixtures("empty_figures")
def test_the_page_says_on_which_tiles_the_choices_were_made(experiment: Experiment):
    def note(folds: list[int]) -> str:
        page = experiment_page.page(replace(experiment, result=experiment.result | {"folds": folds}))
        return " ".join(next(part for part in page.split('<p class="note">') if "cross-fitted over" in part).split())

    assert "of folds 0, 1: threshold, smallest area and rules for a fold are chosen on the other folds." in note([0, 1])
    assert "of fold 1: they are split into five parts," in note([1])
    assert "for a part are chosen on the other four." in note([1])


@pytest.mark.usefixtures("empty_figures")
def test_tiles_of_one_depth_have_no_table_of_depths(experiment: Experiment, page: str):
    assert "depth in feet" in page
    tiles = replace(experiment.tiles, scores=experiment.tiles.scores.assign(depth=0))
    flat = experiment_page.page(replace(experiment, tiles=tiles))
    assert "depth in feet" not in flat
    assert "salt coverage" in flat


def test_figures_follow_the_colours_of_the_page(page: str):
    drawn = "".join(re.findall("<svg.*?</svg>", page, flags=re.DOTALL))
    assert "currentColor" in drawn
    assert "var(--blue)" in drawn
    for colour in figures.CSS_COLOURS:
        assert colour.lower() not in drawn
    for name in figures.NAMES:
        assert f"--{name}: #" in page
    assert 'id="axes_1"' not in drawn


def test_the_curves_show_where_the_late_loss_begins(page: str):
    assert page.count("; dashed: the loss changes</figcaption>") == 2
    assert page.count(">late loss<") == 2  # in the legends


def test_points_lost_add_up(experiment: Experiment, page: str):
    coverage = groups.by_coverage(experiment.tiles.scores)
    lost = sum(each.points for each in coverage)
    assert lost == pytest.approx(12 * (1 - experiment.result["cv"]["score"]))
    assert sum(each["points"] for each in experiment_page._shares(coverage)) == pytest.approx(lost)
    assert f"{lost:.1f} of 12 points are lost" in page


def test_a_fold_without_a_training_has_no_epochs(experiment: Experiment):
    scores = experiment.tiles.scores[experiment.tiles.scores["fold"] == 0]
    assert experiment_page.fold_row(experiment, 0) == {
        "fold": 0,
        "CV": pytest.approx(scores["score"].mean()),
        "tiles": 6,
        "empty": pytest.approx((scores["coverage"] == 0).mean()),
        "mean coverage": pytest.approx(scores["coverage"].mean()),
        "median depth": 150.0,
        "best epoch": 3,
        "epochs": 4,
        "minutes": 1.5,
    }
    row = experiment_page.fold_row(experiment, 1)
    assert (row["best epoch"], row["epochs"], row["minutes"]) == (None, None, None)


@pytest.mark.usefixtures("empty_figures")
def test_a_last_epoch_that_is_kept_is_not_called_the_best(experiment: Experiment, page: str):
    last = replace(experiment, settings=config.load("unet", ["train.keep=last"]))
    for shown, html, name, other in (
        (experiment, page, "best epoch", "kept epoch"),
        (last, experiment_page.page(last), "kept epoch", "best epoch"),
    ):
        assert experiment_page.fold_row(shown, 0)[name] == 3
        assert f"star: {name}" in html
        assert other not in html


@pytest.mark.usefixtures("empty_figures")
def test_the_page_of_a_blend_lists_members_and_no_training(experiment: Experiment):
    result = {**experiment.result, "votes": {"demo": 1, "unet": 3}}
    members = {"demo": 0.5, "unet": None}
    blend = replace(experiment, name="demo+unet", result=result, training={}, histories={}, members=members)
    page = experiment_page.page(blend)
    assert headings(page) == [
        *(each for each in HEADINGS if each not in ("Learning curves", "Settings", "Provenance")),
        "Members",
        "Settings",
        "Provenance",
    ]
    assert [page.count(text) for text in (">demo+unet<", ">0.25<", ">0.75<", ">0.5000<")] == [1, 1, 1, 1]
    assert page.count('<a href="../demo/report.html">demo</a>') == 1
    assert "best epoch" not in experiment_page.fold_row(blend, 0)
    settings = {row["setting"] for row in experiment_page.setting_rows(blend)}
    assert "split.folds" in settings
    assert "network.width" not in settings
    assert "network.width" in {row["setting"] for row in experiment_page.setting_rows(experiment)}


@pytest.mark.parametrize("epochs", [1, 7, 30])
@pytest.mark.parametrize("start", [0.0, 0.3, 0.65, 1.0])
def test_the_late_loss_begins_where_training_begins_it(epochs: int, start: float):
    train = config.TrainSettings(epochs=epochs, late_loss_start=start)
    late = [epoch + 1 for epoch in range(epochs) if loss_of_epoch(train, epoch) == train.late_loss]
    # From the first epoch on, it is not a change.
    assert late_epoch(train, epochs) == (late[0] if late and late[0] > 1 else None)


@pytest.mark.usefixtures("empty_figures")
def test_the_page_has_the_warnings(experiment: Experiment):
    result = {"cv": {"score": 0.25, "nothing": 0.4}, "votes": {"a": 1, "b": 0}}
    texts = experiment_page.warnings(result)
    assert len(texts) == 2
    assert "CV 0.2500 is not above 0.4000" in texts[0]
    assert "this blend is a alone" in texts[1]
    assert experiment_page.warnings({"cv": {"score": 0.25, "nothing": 0.1}, "votes": {"a": 1}}) == []
    cv = experiment.result["cv"] | {"nothing": 1.0}
    page = experiment_page.page(replace(experiment, result=experiment.result | {"cv": cv}))
    assert page.count('<p class="warning">warning: CV 0.') == 1


def test_the_page_fits_a_phone_and_follows_the_dark_mode(page: str, tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text(page)
    colours = """
        const of = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
        return [of("body", "backgroundColor"), of("body", "color"), of("figure svg text", "fill"),
                of("figure svg path[style*='--blue']", "stroke")]
    """
    with browser(tmp_path) as window:
        look(window, path)
        # Folded tables scroll in their own box, too.
        window.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
        for width in (1400, 400):
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            assert window.execute_script("return document.documentElement.scrollWidth") <= width
        seen = []
        for dark in (False, True):
            set_dark(window, dark)
            seen.append(window.execute_script(colours))
        assert seen[0][1] == seen[0][2]  # text in figures has the colour of the page's text
        assert seen[1][1] == seen[1][2]
        assert all(light != dark for light, dark in zip(*seen, strict=True))
