"""The ladder: what the tables, the experiments' files and the README say is what the receipts say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import ladder
from pipeline import config
from tests.conftest import TINY

ROWS = json.loads((ladder.HERE / "results" / "ladder.json").read_text(encoding="utf-8"))["rows"]


def row(name: str, cv: float, gain: float | None = None, apart: float = 0.001) -> dict:
    told = {"experiment": name, "base": "", "cv": cv}
    return told if gain is None else told | {"gain": gain, "gain_low": gain - apart, "gain_high": gain + apart}


@pytest.mark.parametrize("told", ROWS, ids=lambda each: each["experiment"])
def test_every_figure_stands_in_its_experiments_file_and_in_the_readme(told: dict):
    text = (config.EXPERIMENTS / f"{told['experiment']}.toml").read_text(encoding="utf-8")
    assert "\n".join(ladder.header(told)) in text
    if not ladder.SEED.search(told["experiment"]):
        line = next(line for line in ladder._table(ROWS) if f"| `{told['experiment']}` |" in line)
        assert line in ladder.README.read_text(encoding="utf-8")
        assert line in (ladder.HERE / "LADDER.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("told", ROWS, ids=lambda each: each["experiment"])
def test_no_figure_is_left_of_other_settings(told: dict):
    now = config.as_dict(config.load(told["experiment"]))
    assert not ladder.changed(told["settings"], now), "its settings have changed since: measure it anew"


def test_a_gain_within_the_spread_of_seeds_or_of_tiles_is_none():
    seeds = [row("a", 0.70), row("a-seed1", 0.71), row("a-seed2", 0.69)]
    others = [row("b", 0.715, 0.015), row("c", 0.8, 0.1), row("d", 0.8, 0.1, apart=0.2), row("e", 0.6, -0.1)]
    rows = ladder._judged([*seeds, *others])
    assert ladder.spread(rows) == pytest.approx(0.02)
    assert [each["verdict"] for each in rows if each["experiment"] in "bcde"] == ["none", "gain", "none", "loss"]


def test_receipts_become_rows(finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "plain.toml").write_text((config.EXPERIMENTS / "demo.toml").read_text(encoding="utf-8"))
    (tmp_path / "demo.toml").write_text('base = "plain"\n' + _toml(TINY))
    monkeypatch.setattr(config, "EXPERIMENTS", tmp_path)
    monkeypatch.setattr(ladder, "EXPERIMENTS", tmp_path)
    (told,) = ladder.measured(finished, "demo")
    receipt = json.loads((finished / "submissions/demo/demo.json").read_text())["result"]
    assert told["cv"] == round(receipt["cv"]["score"], 4)
    assert (told["experiment"], told["base"], told["folds"], told["epochs"]) == ("demo", "plain", [0, 1], 4)
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
