"""Whether a ranking by short trainings holds for long ones, on made-up scores."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks import lengths
from pipeline import config

SETTINGS = lengths.read(lengths.HERE / "lengths.toml")
NAMES = ["a", "b", "c", "d"]
FOLDS = np.arange(2000) % 5


def made_up(*quality: float, seeds: int = 1, noise: float = 0.05, tiles: int = 2000) -> np.ndarray:
    """(settings, seeds, tiles) scores of the same tiles, of settings with these mean scores."""
    hardness = np.random.default_rng(0).normal(0, 0.3, tiles)
    own = np.random.default_rng(int(1000 * quality[0])).normal(0, noise, (len(quality), seeds, tiles))
    return np.array(quality)[:, None, None] + hardness + own


def rows(lines: list[str]) -> dict[str, list[str]]:
    return {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in lines if line.startswith("| ")}


def test_a_ranking_that_holds_is_said_to_hold():
    found = lengths.compared(
        made_up(0.70, 0.71, 0.69, 0.70), made_up(0.74, 0.75, 0.73, 0.74, noise=0.04), FOLDS, NAMES, (48, 200)
    )
    assert "The ranking at 48 epochs holds at 200 wherever it is clear" in found[-1]
    table = rows(found)
    assert [table[name][3] for name in "bc"] == ["1", "4"]
    assert [table[name][6] for name in "bc"] == ["1", "4"]
    assert table["b"][2].startswith("+0.01")
    assert table["a - b"][-1] == "same"
    assert table["a - d"][-1] == "undecided"


def test_a_ranking_that_is_reversed_is_said_not_to_hold():
    found = lengths.compared(made_up(0.70, 0.71, 0.69, 0.70), made_up(0.74, 0.73, 0.72, 0.74), FOLDS, NAMES, (48, 200))
    assert "The ranking at 48 epochs does not hold at 200" in found[-1]
    table = rows(found)
    assert table["a - b"][-1] == "reversed"
    assert table["b - c"][-1] == "same"


def test_a_difference_that_appears_with_length_is_a_change_and_no_reversal():
    found = lengths.compared(made_up(0.70, 0.70), made_up(0.74, 0.76), FOLDS, NAMES[:2], (48, 200))
    assert rows(found)["a - b"][-1] == "changed"
    assert "no clear order is reversed" in found[-1]
    found = lengths.compared(made_up(0.70, 0.70), made_up(0.74, 0.74), FOLDS, NAMES[:2], (48, 200))
    assert "No pair differs by more than its error" in found[-1]


def test_differences_are_paired_and_their_error_covers_tiles_and_seeds():
    values, fold = made_up(0.7, 0.71), np.zeros(2000)
    one = lengths.difference(values[1] - values[0], fold)
    assert one.mean == pytest.approx(0.01, abs=0.004)
    # That of the noise in both; the hardness of the tiles, which they share, is not in it.
    assert one.error == pytest.approx(0.05 * np.sqrt(2 / 2000), rel=0.1)
    shifted = np.stack([values[1, 0] - values[0, 0], values[1, 0] - values[0, 0] + 0.04])
    assert lengths.difference(shifted, fold).error == pytest.approx(0.02, rel=0.05)


def test_each_fold_is_a_training_of_its_own():
    values, fold = made_up(0.7, 0.71), np.arange(2000) % 4
    shifted = values[1] - values[0] + np.array([-0.03, -0.01, 0.01, 0.03])[fold]
    found = lengths.difference(shifted, fold)
    assert found.error == pytest.approx(np.std([-0.03, -0.01, 0.01, 0.03], ddof=1) / 2, rel=0.1)
    assert found.margin == pytest.approx(3.182 * found.error, rel=0.001)  # of a printed table: 3 degrees, 95 %
    assert lengths.difference(shifted, fold, pairs=6).margin > 1.5 * found.margin


@pytest.mark.parametrize(("seeds", "folds"), [(1, 5), (3, 2)])
def test_settings_that_do_not_differ_are_undecided(seeds: int, folds: int):
    rng, fold, decided = np.random.default_rng(0), np.arange(300) % folds, 0
    for _ in range(100):
        trained = rng.normal(0, 0.019, (2, 4, seeds, folds))[..., fold]
        short, long = trained + rng.normal(0, 0.1, (2, 4, seeds, 300))
        decided += "No pair differs by more" not in lengths.compared(short, long, fold, NAMES, (48, 200))[-1]
    assert decided / 100 < 0.08


def test_fewer_than_three_trainings_decide_nothing():
    short, long, fold = made_up(0.70, 0.80), made_up(0.74, 0.64), np.arange(2000) % 2
    found = lengths.compared(short, long, fold, NAMES[:2], (48, 200))
    assert rows(found)["a - b"][-1] == "undecided"
    assert found[-1] == (
        "Undecided: a setting has 2 of 3 trainings or more; add folds or --seeds"
        " (pairs: 0 same, 1 undecided, 0 changed, 0 reversed)."
    )
    found = lengths.compared(short, long, np.arange(2000) % 3, NAMES[:2], (48, 200))
    assert rows(found)["a - b"][-1] == "reversed"


def test_the_runs_have_valid_settings_that_differ(tmp_path: Path):
    trained = [run for epochs in SETTINGS.epochs for run in SETTINGS.runs(epochs, [3])]
    assert len({run.name for run in trained}) == len(trained) == 8
    found = [config.load(run.experiment, list(run.assignments)) for run in trained]
    assert len({config.fingerprint(config.as_dict(each)) for each in found}) == 8
    assert [each.train.epochs for each in found] == [48] * 4 + [200] * 4
    assert {each.train.seed for each in found} == {3}


def test_the_table_reads_the_finished_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        lengths.main(["table", "--folder", str(tmp_path)])
    assert ended.value.code == 2
    assert "not finished: default-48-seed0" in capsys.readouterr().err.splitlines()[-1]
    qualities = {48: (0.70, 0.71, 0.69, 0.70), 200: (0.74, 0.73, 0.72, 0.74)}
    for epochs, quality in qualities.items():
        for run, scores in zip(SETTINGS.runs(epochs, [0]), made_up(*quality)[:, 0], strict=True):
            path = run.root(tmp_path) / "data/tgs/experiments/unet/scores.csv"
            path.parent.mkdir(parents=True)
            with path.open("w", newline="") as stream:
                csv.writer(stream).writerows(
                    [("id", "fold", "score"), *((f"t{at}", at % 5, score) for at, score in enumerate(scores))]
                )
    assert lengths.main(["table", "--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "does not hold at 200" in printed
    assert "score, 8 trainings, 2,000 tiles." in printed
    with pytest.raises(SystemExit):
        lengths.main(["table", "--folder", str(tmp_path), "--measure", "soft Dice, salt"])
    assert "there is no measure 'soft Dice, salt'; there are score" in capsys.readouterr().err


def test_a_file_that_is_not_enough_is_refused(tmp_path: Path):
    path = tmp_path / "one.toml"
    path.write_text('experiment = "unet"\nepochs = [48]\n[[setting]]\nname = "a"\nassignments = []\n')
    with pytest.raises(ValueError, match="two numbers of epochs"):
        lengths.read(path)
