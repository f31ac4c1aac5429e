"""The ladder: the tables and the experiments' files show what was recorded by the trainings."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import effects, ladder, ladder_figures
from benchmarks.effects import SEED
from pipeline import config
from pipeline.config import experiment_files
from tests.conftest import TINY

PAGE = ladder.HERE / "LADDER.md"
ROWS = json.loads((ladder.HERE / "results" / "ladder.json").read_text(encoding="utf-8"))["rows"]


def row(
    name: str, cv: float, gain: float | None = None, *, width: float = 0.001, seed: int = 0, base: str = ""
) -> dict:
    """A row of an experiment; ``width`` is half that of the interval over tiles."""
    settings = {"network": {"name": SEED.sub("", name)}, "train": {"seed": seed}, "predict": {"tta": ["plain"]}}
    found = {"experiment": name, "base": base, "cv": cv, "settings": settings}
    return found if gain is None else found | {"gain": gain, "gain_low": gain - width, "gain_high": gain + width}


@pytest.mark.parametrize("measured", ROWS, ids=lambda each: each["experiment"])
def test_every_figure_stands_in_its_experiments_file_and_in_the_table(measured: dict):
    text = config.experiment_path(measured["experiment"]).read_text(encoding="utf-8")
    assert "\n".join(ladder.header(measured)) in text
    if not SEED.search(measured["experiment"]):
        line = next(line for line in ladder._table(ROWS) if f"| `{measured['experiment']}` |" in line)
        assert line in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("measured", ROWS, ids=lambda each: each["experiment"])
def test_no_figure_is_left_of_other_settings(measured: dict):
    now = config.stored(config.load(measured["experiment"]))
    assert not ladder.changed(measured["settings"], now), "its settings have changed since: measure it again"


def repeated(name: str, scores: list[float], base: str = "") -> list[dict]:
    """Rows of an experiment that is trained with several seeds."""
    return [
        row(f"{name}-seed{seed}" if seed else name, score, seed=seed, base=base) for seed, score in enumerate(scores)
    ]


def test_the_variance_over_seeds_is_pooled_and_shared_trainings_count_once():
    rows = [*repeated("a", [0.70, 0.71, 0.69]), *repeated("b", [0.60, 0.64]), row("c", 0.5)]
    wanted = math.sqrt((2 * 0.01**2 + 2 * 0.02**2) / 3)
    assert effects.deviation(rows) == pytest.approx((wanted, 3))
    shared = [dict(each, experiment=each["experiment"].replace("a", "d")) for each in rows[:3]]
    assert effects.deviation([*rows, *shared]) == pytest.approx((wanted, 3))
    assert effects.deviation(rows[-1:]).degrees == 0


def test_an_effect_is_the_mean_over_common_seeds_with_its_error_over_tiles_and_trainings():
    rows = [
        *repeated("a", [0.70, 0.71, 0.69]),
        *(each | {"gain": 0.06, "gain_low": 0.04, "gain_high": 0.08} for each in repeated("b", [0.76, 0.73], base="a")),
        row("c", 0.8, 0.1, base="a", width=0.0196),
        row("d", 0.72, 0.02, base="a"),
        row("e", 0.6, -0.1, base="a"),
        row("f", 0.8, 0.1, base="a", width=0.2),
        row("g", 0.9, 0.1, base="not here"),
        row("h", 0.9, 0.1, base="a", seed=7),
    ]
    found = effects.effects(rows)
    noise = effects.deviation(rows).value
    assert noise == pytest.approx(math.sqrt((2 * 0.01**2 + 2 * 0.015**2) / 3))
    assert (found["b"].mean, found["b"].seeds) == (pytest.approx((0.06 + 0.02) / 2), 2)
    assert found["b"].error == pytest.approx(math.hypot(0.02 / 1.96, noise))
    assert found["c"].error == pytest.approx(math.hypot(0.01, noise * math.sqrt(2)))
    assert {name: each.verdict for name, each in found.items()} == {
        "b": "gain",
        "c": "gain",
        "d": "none",
        "e": "loss",
        "f": "none",
    }


def test_a_rung_with_its_bases_networks_has_no_error_over_trainings():
    plain = repeated("a", [0.70, 0.75, 0.65])
    flipped = [dict(each, experiment="b", base="a", cv=each["cv"] + 0.01) for each in plain[:1]]
    flipped[0] |= {"gain": 0.01, "gain_low": 0.01 - 0.00196, "gain_high": 0.01 + 0.00196}
    flipped[0]["settings"] = flipped[0]["settings"] | {"predict": {"tta": ["plain", "flip"]}}
    effect = effects.effects([*plain, *flipped])["b"]
    assert effect == (pytest.approx(0.01), pytest.approx(0.001), 1)
    assert str(effect) == "**+0.010** ± 0.001"


def test_the_page_can_be_written_again_where_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "results").mkdir()
    shutil.copy(ladder.HERE / "results/ladder.json", tmp_path / "results")
    monkeypatch.setattr(ladder, "HERE", tmp_path)
    monkeypatch.setattr(ladder, "_into_experiment", lambda row: None)
    monkeypatch.setattr(sys, "argv", ["ladder", "--root", str(tmp_path), "--write"])
    ladder.main()
    for name in ("LADDER.md", "results/ladder.json"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (PAGE.parent / name).read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.glob("*.png")} == {"ladder.png", "views.png"}
    monkeypatch.setattr(sys, "argv", ["ladder", "--root", str(tmp_path)])
    with pytest.raises(SystemExit):
        ladder.main()


def test_tiles_seen_are_those_of_one_fold():
    one = {"folds": [0], "epochs": 8, "of": 3000, "tiles": 600}
    assert ladder_figures.views(one) == 8 * 2400
    assert ladder_figures.views(one | {"folds": [0, 1], "epochs": 20, "tiles": 1200}) == 10 * 2400


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
