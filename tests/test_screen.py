"""The screen of many settings: its design, its runs and the effects that it finds."""

from __future__ import annotations

import csv
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import runs, screen
from pipeline import config
from tests.data.helpers import Raw

FACTORS = screen.read(screen.HERE / "screen.toml")
QUICK = screen.read(screen.HERE / "screen-quick.toml")


@pytest.mark.parametrize(("factors", "number"), [(FACTORS, 24), (QUICK, 12)])
def test_every_run_of_the_design_has_valid_settings_and_differs_from_the_others(factors: screen.Screen, number: int):
    found = {config.fingerprint(config.as_dict(load(levels, factors))) for levels in screen.design(factors.runs)}
    assert len(found) == len(screen.runs_of(factors, [0])) == number


def load(levels: np.ndarray, factors: screen.Screen = FACTORS) -> config.Settings:
    return config.load(factors.experiment, factors.assignments(levels.tolist(), seed=3))


def test_all_runs_of_the_quick_screen_start_from_the_same_pretrained_network():
    found = [load(levels, QUICK) for levels in screen.design(QUICK.runs)]
    assert {each.train.pretrain for each in found} == {"masked"}
    read = {
        config.fingerprint([config.as_dict(each)[name] for name in ("input", "network", "pretrain")]) for each in found
    }
    assert len(read) == 1


def test_the_levels_of_a_run_are_those_of_its_row():
    low, high = load(-np.ones(23, int)), load(np.ones(23, int))
    assert (low.train.weight_decay, high.train.weight_decay) == (0.01, 0.1)
    assert (low.train.batch_size, high.train.batch_size) == (8, 16)
    assert low.train.seed == high.train.seed == 3
    default = config.load("unet", ["train.seed=3"])
    assert config.differences(low, default) == {}, "the low level is the default"
    quick = config.load("unet-quick", ["train.seed=3"])
    assert config.differences(load(-np.ones(11, int), QUICK), quick) == {}


@pytest.mark.parametrize("number", [12, 24])
def test_the_columns_are_balanced_and_orthogonal(number: int):
    levels = screen.design(number)
    assert levels.shape == (number, number - 1)
    assert not levels.sum(axis=0).any()
    assert (levels.T @ levels == number * np.eye(number - 1)).all()


def test_known_effects_are_found_and_noise_is_not_significant():
    rng = np.random.default_rng(0)
    levels = screen.design()
    hardness = rng.uniform(0, 1, 2000)
    noise = rng.normal(0, 0.004, 24)  # of the trainings
    scores = hardness + (0.010 * levels[:, 0] - 0.006 * levels[:, 1] + noise)[:, None] + rng.normal(0, 0.05, (24, 2000))
    first, second, third = screen.effects(scores, levels, ["better", "worse", "nothing"])
    assert first.effect == pytest.approx(0.020, abs=0.004)
    assert second.effect == pytest.approx(-0.012, abs=0.004)
    assert (first.significant, second.significant, third.significant) == (True, True, False)
    # 24 trainings: the difference of two means of 12.
    assert first.error == pytest.approx(0.004 * np.sqrt(2 / 12), rel=0.4)


@pytest.mark.parametrize(("number", "factors"), [(24, 19), (12, 8)])
def test_few_screens_without_effects_call_any_factor_significant(number: int, factors: int):
    rng, levels, names = np.random.default_rng(0), screen.design(number), [str(each) for each in range(factors)]
    flagged = 0
    for _ in range(400):
        scores = rng.normal(0, 0.01, (number, 1)) + rng.normal(0, 0.1, (number, 100))  # of trainings, of tiles in them
        flagged += any(each.significant for each in screen.effects(scores, levels, names))
    assert flagged / 400 < 0.07


def test_a_large_effect_is_found_with_few_columns_for_the_error():
    rng, levels = np.random.default_rng(0), screen.design()
    noise = rng.normal(0, 0.004, (24, 1)) + rng.normal(0, 0.05, (24, 2000))
    found = screen.effects(noise + 0.010 * levels[:, :1], levels, [str(each) for each in range(19)])
    assert [each.significant for each in found] == [True] + [False] * 18
    assert screen.limits(5, 1) == pytest.approx((2.776, 1.960), abs=0.001)  # of a printed table: 4 degrees, 95 %


def options(folder: Path) -> Namespace:
    return Namespace(folder=folder, seeds=[0], archive=Path("tiles.zip"), folds="0,1", jobs=2)


def write(root: Path, scores: dict[tuple[str, int], float]) -> None:
    path = root / "data/tgs/experiments/unet/scores.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("id", "fold", "score"), *((*tile, score) for tile, score in scores.items())])


def test_the_table_pairs_tiles_by_id_and_needs_every_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trained = screen.runs_of(FACTORS, [0])
    for run, row in zip(trained, screen.design(), strict=True):
        if run.name == "run-23-seed0":
            with pytest.raises(ValueError, match="not finished: run-23-seed0"):
                screen.table(FACTORS, options(tmp_path))
        tiles: dict[tuple[str, int], float] = {
            (f"t{each}", each % 2): 0.5 + 0.1 * (row[0] > 0) + 0.001 * each for each in range(4)
        }
        write(run.root(tmp_path), dict(sorted(tiles.items(), reverse=bool(row[1] > 0))))
    lines = screen.table(FACTORS, options(tmp_path))
    assert lines[2].startswith(f"| {FACTORS.factors[0].name} | `train.weight_decay=0.1` | +0.1000 | 0.0000 |")
    assert lines[2].endswith("significant |")
    (about,) = [line for line in lines if "24 trainings, 4 tiles" in line]
    known = "Student's t, 4 degrees of freedom, 95% for all 19 factors"
    assert "Significant: larger than" in about
    assert known in about
    assert lines[-1].startswith("| score | 4 |")
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("run-00-seed0, run-01-seed0")
    assert warning.endswith("without out-of-fold probabilities; only the score is compared")
    path = trained[5].root(tmp_path) / "data/tgs/experiments/unet/scores.csv"
    path.write_text("id,fold,score\nother,0,0.5\n")
    with pytest.raises(ValueError, match="scored on different tiles"):
        screen.table(FACTORS, options(tmp_path))


def test_a_run_is_the_ordinary_command_in_its_own_folder(tmp_path: Path):
    made = runs.command(screen.runs_of(FACTORS, [0])[2], options(tmp_path))
    assert made[1:5] == ["-m", "pipeline", "train", "--experiment"]
    assert str(tmp_path / "run-02-seed0") in made
    from pipeline.cli import commands, main
    from pipeline.cli.parser import make_parser, selection

    parsed = make_parser(commands.run_stage, main.COMMANDS).parse_args(made[3:])
    chosen = selection(parsed)
    assert config.load(chosen.only_name, [*chosen.assignments]).train.epochs == 48
    assert chosen.jobs == 2


def test_runs_that_are_trained_are_measured_and_others_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runs, "command", lambda run, _: [sys.executable, "-c", f"raise SystemExit({run.name == 'b'})"])
    given, measured = Namespace(folder=tmp_path, at_once=2), list[str]()
    wanted = [runs.Run(name, "unet", ()) for name in "abc"]
    assert runs.train(wanted, given, lambda run, folder: measured.append(run.name)) == 1
    assert sorted(measured) == ["a", "c"]
    assert f"b: failed, see {tmp_path / 'b' / 'log'}" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("runs_line", "number", "error"),
    [("", 21, "21 factors; at most 20"), ("runs = 12", 9, "9 factors; at most 8"), ("runs = 20", 1, "take 12 or 24")],
)
def test_too_many_factors_leave_nothing_for_the_error(tmp_path: Path, runs_line: str, number: int, error: str):
    path = tmp_path / "many.toml"
    factors = "".join(f'[[factor]]\nname = "{each}"\nlow = []\nhigh = []\n' for each in range(number))
    path.write_text(f'experiment = "unet"\n{runs_line}\ncommon = []\n{factors}')
    with pytest.raises(ValueError, match=error):
        screen.read(path)


@pytest.mark.slow
def test_tiles_and_folds_are_made_once_for_all_runs(tmp_path: Path):
    given = options(tmp_path / "runs")
    given.archive, given.folds = Raw(tmp_path).folder, ""
    trained = [runs.Run(name, "demo", ("split.folds=2", "split.bins=2")) for name in ("a", "b")]
    assert runs.make_shared(trained[0], given) == 0
    for run in trained:
        runs.link_shared(run, given.folder)
        subprocess.run(runs.command(run, given, "split"), capture_output=True, check=True)
        own = run.root(given.folder) / "data/tgs"
        for name in ("raw", "tiles", "folds", "pretrained"):
            assert (own / name).resolve() == given.folder / "shared/data/tgs" / name
    before = {path: path.stat().st_mtime_ns for path in (given.folder / "shared").rglob("*.json")}
    assert len(before) >= 3
    assert runs.make_shared(trained[0], given) == 0
    for run in trained:
        runs.link_shared(run, given.folder)  # when the command is repeated
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        screen.main(["table", "--folder", str(tmp_path)])
    assert ended.value.code == 2
    assert "not finished: run-00-seed0, run-01-seed0" in capsys.readouterr().err.splitlines()[-1]
