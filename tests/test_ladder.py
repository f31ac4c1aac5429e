"""The ladder: the tables and the experiments' files show what was recorded by the trainings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import ladder
from pipeline import config
from pipeline.config import experiment_files
from tests.conftest import TINY

ROWS = json.loads((ladder.HERE / "results" / "ladder.json").read_text(encoding="utf-8"))["rows"]


def row(name: str, cv: float, gain: float | None = None, width: float = 0.001) -> dict:
    found = {"experiment": name, "base": "", "cv": cv}
    return found if gain is None else found | {"gain": gain, "gain_low": gain - width, "gain_high": gain + width}


@pytest.mark.parametrize("measured", ROWS, ids=lambda each: each["experiment"])
def test_every_figure_stands_in_its_experiments_file_and_in_the_table(measured: dict):
    text = config.experiment_path(measured["experiment"]).read_text(encoding="utf-8")
    assert "\n".join(ladder.header(measured)) in text
    if not ladder.SEED.search(measured["experiment"]):
        line = next(line for line in ladder._table(ROWS) if f"| `{measured['experiment']}` |" in line)
        assert line in (ladder.HERE / "LADDER.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("measured", ROWS, ids=lambda each: each["experiment"])
def test_no_figure_is_left_of_other_settings(measured: dict):
    now = config.stored(config.load(measured["experiment"]))
    assert not ladder.changed(measured["settings"], now), "its settings have changed since: measure it again"


def test_a_gain_within_the_spread_of_seeds_or_of_tiles_is_not_significant():
    seeds = [row("a", 0.70), row("a-seed1", 0.71), row("a-seed2", 0.69)]
    others = [row("b", 0.715, 0.015), row("c", 0.8, 0.1), row("d", 0.8, 0.1, width=0.2), row("e", 0.6, -0.1)]
    rows = ladder._judged([*seeds, *others])
    assert ladder.spread(rows) == pytest.approx(0.02)
    assert [each["verdict"] for each in rows if each["experiment"] in "bcde"] == ["none", "gain", "none", "loss"]


def test_rows_of_other_tiles_stay_out_of_the_table(capsys: pytest.CaptureFixture[str]):
    tiles = {"folds": [0], "split": "depth-5-seed0", "of": 3000, "dataset": "tgs"}
    kept = [row("a", 0.7) | tiles, row("b", 0.6) | tiles]
    fresh = [row("b", 0.65) | tiles, row("c", 0.8) | tiles | {"of": 4000}, row("d", 0.8) | tiles | {"dataset": "demo"}]
    assert {each["experiment"]: each["cv"] for each in ladder.joined(kept, fresh)} == {"a": 0.7, "b": 0.65}
    printed = capsys.readouterr().out
    assert "c: left out, scored on fold 0 (depth-5-seed0) of 4,000 labelled tiles" in printed
    assert "d: left out" in printed
    assert ladder.joined(kept, fresh[1:]) == []


@pytest.mark.parametrize(
    ("overrides", "has_changed"),
    [
        ([], False),
        (["train.learning_rate=0.5"], True),
        (["predict.tta=[plain]"], True),
        (["submit.rules=[]"], True),
        (["split.seed=3"], False),  # not compared here, but by the hashes in the manifests
        (["train.swa_start=0.5", "train.ema_momentum=0"], True),
    ],
)
def test_a_setting_that_the_figure_depends_on_has_changed(overrides: list[str], has_changed: bool):
    now = config.stored(config.load("unet", overrides))
    then = {name: dict(config.stored(config.load("unet"))[name]) for name in ("network", "train", "predict", "submit")}
    del then["train"]["swa_from"]  # a setting that came later, by its stored name
    assert ladder.changed(then, now) is has_changed


def test_receipts_become_rows(finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "plain.toml").write_text((config.EXPERIMENTS / "demo.toml").read_text(encoding="utf-8"))
    (tmp_path / "demo.toml").write_text('base = "plain"\n' + _toml(TINY))
    monkeypatch.setattr(experiment_files, "EXPERIMENTS", tmp_path)
    (measured,) = ladder.measured(finished, "demo")
    receipt = json.loads((finished / "submissions/demo/demo.json").read_text())["result"]
    assert measured["cv"] == round(receipt["cv"]["score"], 4)
    assert (measured["experiment"], measured["base"], measured["folds"], measured["epochs"]) == (
        "demo",
        "plain",
        [0, 1],
        4,
    )
    # Trained with other settings than the file has now, it is not a rung any more.
    (tmp_path / "demo.toml").write_text('base = "plain"\n' + _toml(TINY.replace("train.epochs=2", "train.epochs=3")))
    assert ladder.measured(finished, "demo") == []


def _toml(settings: str) -> str:
    sections: dict[str, list[str]] = {}
    for each in settings.split():
        key, value = each.split("=")
        section, name = key.split(".")
        sections.setdefault(section, []).append(f"{name} = {value if value[0].isdigit() else json.dumps(value)}")
    text = "".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items())
    return text.replace('"false"', "false").replace('"true"', "true")
