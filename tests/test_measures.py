"""Measures of tiles that are smoother than the score, and how steadily they rank runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import measures, screen, steadiness
from benchmarks.runs import Run
from pipeline import config
from pipeline.artifacts import Layout
from pipeline.scoring import metric
from tests.conftest import blobs, noisy


def test_a_measure_of_a_tile_has_its_definition():
    truth = np.zeros((4, 10, 10), np.uint8)
    truth[2:, :, :5] = 1
    predicted = np.zeros((4, 10, 10), np.uint8)
    predicted[1, 0, :2] = 255
    predicted[2, :, :5] = 255
    predicted[3, :, :4] = 255  # an IoU of 0.8
    found = measures.tile_measures(predicted, truth)
    np.testing.assert_allclose(found["score at 0.5"], [1, 0, 1, 0.6])
    steps = 1 / (1 + np.exp(-(0.8 - metric.THRESHOLDS) / 0.05))
    np.testing.assert_allclose(found["smooth score"], [1, 0, found["smooth score"][2], steps.mean()])
    assert found["smooth score"][2] == pytest.approx(1, abs=0.05)
    none, little, *_ = found["smooth score, empty tiles too"]
    assert none == pytest.approx(50 / (50 + 0.25 * 100 / 255), rel=1e-3)
    assert 0 < little < none < 1
    cross_entropy, dice = found["negative cross-entropy, salt"], found["soft Dice, salt"]
    assert np.isnan([*cross_entropy[:2], *dice[:2]]).all()
    assert cross_entropy[2] == pytest.approx(np.log(1 - measures.SMALLEST), rel=1e-3)
    assert cross_entropy[3] == pytest.approx(0.1 * np.log(measures.SMALLEST), rel=1e-2)
    assert dice[3] == pytest.approx(2 * 40 / (40 + 50), rel=1e-2)


def test_the_log_loss_of_salt_or_none_is_less_where_the_evidence_divides_the_tiles():
    present = np.arange(40) % 2 > 0
    clear, faint = np.where(present, 0.9, 0.1), np.where(present, 0.52, 0.48)
    noise = np.random.default_rng(0).uniform(0, 1, 40)
    assert measures.presence_loss(clear, present).mean() < 0.01
    # Only the order of the evidence matters, and not its calibration.
    assert measures.presence_loss(faint, present).mean() < 0.1
    assert measures.presence_loss(noise, present).mean() == pytest.approx(np.log(2), abs=0.1)
    assert not measures.presence_loss(clear, np.ones(40, bool)).any()


def test_the_measures_of_a_run_are_kept_without_its_probabilities(tmp_path: Path):
    run = Run("run", "unet", ("split.folds=2",))
    layout = Layout(run.root(tmp_path), "tgs", "unet", config.load("unet", list(run.assignments)))
    images, masks = blobs(9)
    folds = np.arange(9) % 2
    names = [f"t{number}" for number in range(9)]
    for folder in (layout.tiles_folder, layout.split_folder, layout.fold_folder(0), layout.fold_folder(1)):
        folder.mkdir(parents=True)
    table = pd.DataFrame({"id": names, "depth": 100.0, "coverage": masks.mean(axis=(1, 2)), "fold": folds})
    table.assign(constant=False, vertical=False).to_csv(layout.tiles_folder / "train.csv", index=False)
    table[:1].assign(constant=False).to_csv(layout.tiles_folder / "test.csv", index=False)
    for name, content in {"train_images": images, "train_masks": masks, "test_images": images[:1]}.items():
        np.save(layout.tiles_folder / f"{name}.npy", content)
    table.to_csv(layout.split_folder / "folds.csv", index=False)
    assert measures.of_run(run, tmp_path) is None
    found = noisy(masks, 0, 60)
    for fold in (0, 1):
        np.save(layout.fold_folder(fold) / "oof.npy", found[folds == fold])
    scores = pd.DataFrame({"id": names, "fold": folds, "score": np.linspace(0, 1, 9)})
    scores[::-1].to_csv(layout.experiment_folder / "scores.csv", index=False)
    measured = measures.of_run(run, tmp_path)
    assert measured is not None
    assert [*measured.values][:2] == ["score", "score at 0.5"]
    np.testing.assert_array_equal(measured.values["score"], scores["score"])
    np.testing.assert_array_equal(measured.values["score at 0.5"], metric.tile_scores(found > 127, masks))
    for fold in (0, 1):
        (layout.fold_folder(fold) / "oof.npy").unlink()
    again = measures.of_run(run, tmp_path)
    assert again is not None
    for name, values in measured.values.items():
        np.testing.assert_array_equal(again.values[name], values)
    assert (again.ids == names).all()
    assert (again.folds == folds).all()


# ---- Steadiness -----------------------------------------------------------------------------------------------------

FACTORS = 19


def made_up(runs: int = 24, tiles: int = 1000) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Measures of runs that differ by effects, with more or less noise in each tile, and the folds of the tiles."""
    draw = np.random.default_rng(1)
    levels = screen.design()
    quality = levels[:, :FACTORS] @ draw.normal(0, 0.004, FACTORS) + draw.normal(0, 0.002, runs)
    hardness = draw.uniform(0, 1, tiles)

    def measure(noise: float, of: np.ndarray) -> np.ndarray:
        return hardness + of[:, None] + draw.normal(0, noise, (runs, tiles))

    other = draw.normal(0, 0.02, runs)
    return {
        "score": measure(0.25, quality),
        "smooth": measure(0.05, quality),
        "rough": measure(1.0, quality),
        "of something else": measure(0.05, other),
    }, np.arange(tiles) % 5


def test_a_measure_with_less_noise_is_reported_as_steadier():
    values, folds = made_up()
    score, smooth, rough, other = steadiness.steadiness(values, folds, screen.design(), FACTORS, draws=50)
    assert smooth.tile_noise < 0.5 * score.tile_noise < 0.5 * rough.tile_noise
    for name in ("within_folds", "between_folds", "effects", "predicts"):
        assert getattr(smooth, name) > getattr(score, name) + 0.1 > getattr(rough, name) + 0.2, name
    # A measure that is steady about something else is not better than the score.
    assert other.within_folds > 0.8
    assert other.predicts < 0.5
    assert [each.steadier for each in (score, smooth, rough, other)] == [False, True, False, False]
    assert score.gain == 0
    lines = steadiness.table([score, smooth, rough, other])
    assert [line.endswith("steadier than the score |") for line in lines[2:]] == [False, True, False, False]


def test_the_noise_of_trainings_is_that_of_the_columns_without_a_factor():
    draw = np.random.default_rng(2)
    levels, training = screen.design(), draw.normal(0, 0.01, 24)
    values = (0.02 * levels[:, 0] + training)[:, None] + np.zeros((24, 6))
    (found,) = steadiness.steadiness({"score": values}, np.zeros(6, int), levels, FACTORS, draws=4)
    by_column = 2 * levels.T @ (0.02 * levels[:, 0] + training) / 24
    expected = np.sqrt(np.mean(by_column[FACTORS:] ** 2) / np.mean(by_column[:FACTORS] ** 2))
    assert found.training_noise == pytest.approx(expected)
    assert found.tile_noise == pytest.approx(0, abs=1e-9)
    assert found.within_folds == pytest.approx(1)
    assert np.isnan(found.between_folds)  # there is one fold


def test_trainings_that_differ_between_folds_agree_only_within_them():
    # Each fold's network has its own noise, which all tiles of the fold share.
    draw = np.random.default_rng(3)
    folds = np.arange(400) % 4
    values = draw.normal(0, 1, (24, 4))[:, folds] + draw.normal(0, 0.01, (24, 400))
    (found,) = steadiness.steadiness({"score": values}, folds, screen.design(), FACTORS, draws=10)
    assert found.within_folds > 0.95
    assert abs(found.between_folds) < 0.5


def test_a_measure_without_an_order_has_no_numbers():
    values, folds = made_up()
    flat = np.ones((24, 1000))
    score, found = steadiness.steadiness(
        {"score": values["score"], "flat": flat}, folds, screen.design(), FACTORS, draws=5
    )
    assert not found.steadier
    assert steadiness.table([found])[-1] == "| flat | 1,000 |  |  |  |  |  |  |  |"
    assert "nan" not in steadiness.table([score, found])[-1]


def test_halves_are_disjoint_and_have_half_of_each_fold_or_half_of_the_folds():
    folds = np.repeat([0, 1, 2, 3, 4], 10)
    within, between = steadiness.halves_of_tiles(folds, draws=7), steadiness.halves_of_folds(folds)
    assert within.shape == (7, 50)
    assert all((half[folds == fold].sum() == 5) for half in within for fold in range(5))
    assert len({half.tobytes() for half in within}) == 7
    assert between.shape == (10, 50)  # two of five folds
    assert {len(np.unique(folds[half])) for half in between} == {2}
    assert len(steadiness.halves_of_folds(np.repeat([0, 1, 2, 3], 3))) == 3
    assert steadiness.halves_of_folds(np.zeros(3, int)).shape == (0, 3)


def test_tiles_that_a_measure_leaves_out_are_not_in_its_means():
    values = np.array([[1.0, np.nan, 3.0, 5.0], [2.0, np.nan, 4.0, 8.0]])
    halves = np.array([[True, True, True, False], [False, True, False, True]])
    np.testing.assert_allclose(steadiness.means(values, halves), [[2, 5], [3, 8]])
