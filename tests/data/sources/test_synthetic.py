"""The built-in survey: the competition's files and formats, its proportions, and tiles that are worth learning."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.config import SurveySettings
from pipeline.data import rle, tiles
from pipeline.data.decode import decode_tiles
from pipeline.data.sources import survey_tiles
from pipeline.data.sources.geology.grid import HEIGHT, WIDTH
from pipeline.data.sources.synthetic import write_survey
from pipeline.scoring import metric

if TYPE_CHECKING:
    from pipeline.data.sources.geology.section import Section

SETTINGS = SurveySettings(train=100, test=50, seed=7)


@dataclass(frozen=True)
class Survey:
    folder: Path
    images: np.ndarray  # (100, 101, 101)
    masks: np.ndarray  # (100, 101, 101)
    train: list[str]
    test: list[str]
    progress: list[tuple[int, int]]

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    folder = tmp_path_factory.mktemp("survey")
    calls: list[tuple[int, int]] = []
    write_survey(folder, SETTINGS, lambda done, total: calls.append((done, total)))
    with (folder / "train.csv").open(newline="") as file:
        train = [row["id"] for row in csv.DictReader(file)]
    with (folder / "sample_submission.csv").open(newline="") as file:
        test = [row["id"] for row in csv.DictReader(file)]
    images = np.stack([_read(folder / "train/images" / f"{tile}.png")[:, :, 0] for tile in train])
    masks = np.stack([_read(folder / "train/masks" / f"{tile}.png") // 65535 for tile in train])
    return Survey(folder, images, masks, train, test, calls)


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_tables_have_the_competitions_columns_and_every_tile(survey: Survey) -> None:
    headers = {path.name: path.read_text().splitlines()[0] for path in survey.folder.glob("*.csv")}
    assert headers == {
        "train.csv": "id,rle_mask",
        "depths.csv": "id,z",
        "sample_submission.csv": "id,rle_mask",
        "solution.csv": "id,rle_mask",
    }
    assert len(survey.train) == 100
    assert len(survey.test) == 50
    ids = {*survey.train, *survey.test}
    assert len(ids) == 150
    assert all(len(tile) == 10 and set(tile) <= set("0123456789abcdef") for tile in ids)
    assert sorted(row["id"] for row in survey.table("depths.csv")) == sorted(ids)
    assert [row["id"] for row in survey.table("solution.csv")] == survey.test
    assert {row["rle_mask"] for row in survey.table("sample_submission.csv")} == {"1 1"}


def test_each_tile_has_its_files_and_no_others(survey: Survey) -> None:
    names = {part: {path.name for path in (survey.folder / part).iterdir()} for part in ("train", "test")}
    assert names == {"train": {"images", "masks"}, "test": {"images"}}
    for part, expected in (("train/images", survey.train), ("train/masks", survey.train), ("test/images", survey.test)):
        assert {path.name for path in (survey.folder / part).iterdir()} == {f"{tile}.png" for tile in expected}


def test_images_are_grey_rgb_and_masks_16_bit(survey: Survey) -> None:
    for path in [*survey.folder.glob("*/images/*.png")]:
        image = _read(path)
        assert image.dtype == np.uint8
        assert image.shape == (101, 101, 3)
        assert (image == image[:, :, :1]).all()
    for path in survey.folder.glob("train/masks/*.png"):
        mask = _read(path)
        assert mask.dtype == np.uint16
        assert mask.shape == (101, 101)
        assert set(np.unique(mask)) <= {0, 65535}


def test_encodings_are_those_of_the_masks(survey: Survey) -> None:
    rows = survey.table("train.csv")
    np.testing.assert_array_equal(rle.decode([row["rle_mask"] for row in rows]), survey.masks)
    assert [row["rle_mask"] == "" for row in rows] == [not mask.any() for mask in survey.masks]


def test_the_pipeline_reads_it(survey: Survey, tmp_path: Path) -> None:
    found = decode_tiles(survey.folder, tmp_path)
    assert (found["train"], found["test"]) == (100, 50)
    np.testing.assert_array_equal(tiles.load(tmp_path).train_masks[np.argsort(survey.train).argsort()], survey.masks)


def test_depths_are_whole_feet_in_the_competitions_range(survey: Survey) -> None:
    depths = np.array([int(row["z"]) for row in survey.table("depths.csv")])
    assert depths.min() >= 50
    assert depths.max() <= 959
    assert depths.std() > 100


def test_proportions_are_the_competitions(survey: Survey) -> None:
    solution = rle.decode([row["rle_mask"] for row in survey.table("solution.csv")])
    for masks in (survey.masks, solution):
        coverage = masks.mean(axis=(1, 2))
        assert 0.37 <= (coverage == 0).mean() <= 0.41
        assert 0.2 <= coverage.mean() <= 0.3
        assert coverage.max() < 1
        assert metric.score(np.zeros_like(masks), masks) == pytest.approx(0.39, abs=0.02)
        bands = [(mask == mask[0]).all() and 0 < mask.mean() < 1 for mask in masks]
        assert 1 <= sum(bands) <= 0.05 * len(masks)
    flat = survey.images.std(axis=(1, 2)) == 0
    assert flat.sum() == 2
    assert not survey.masks[flat].any()
    assert 105 < survey.images.mean() < 135
    assert 30 < survey.images.std() < 50


@pytest.mark.parametrize(("train", "test"), [(10, 1), (41, 3)])
def test_small_surveys_keep_the_share_of_tiles_without_salt(tmp_path: Path, train: int, test: int) -> None:
    write_survey(tmp_path, SurveySettings(train=train, test=test))
    with (tmp_path / "train.csv").open(newline="") as file:
        empty = [row["rle_mask"] == "" for row in csv.DictReader(file)]
    assert len(empty) == train
    assert abs(sum(empty) - 0.39 * train) <= 1


def test_same_settings_same_bytes_and_other_seeds_other_tiles(tmp_path: Path) -> None:
    found = []
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        (tmp_path / name).mkdir()
        write_survey(tmp_path / name, SurveySettings(train=10, test=5, seed=seed))
        found.append(_hashes(tmp_path / name))
    first, again, other = found
    assert first == again
    assert not {name for name in first if name.endswith(".png")} & set(other)
    assert len(set(first.values()) & set(other.values())) <= 4  # images of nothing, and masks without salt


def test_progress_counts_every_tile(survey: Survey) -> None:
    assert survey.progress == [(done, 150) for done in range(1, 151)]


def test_no_two_tiles_show_the_same_ground(survey: Survey) -> None:
    lively = survey.images[survey.images.std(axis=(1, 2)) > 0]
    assert len(np.unique(lively.reshape(len(lively), -1), axis=0)) == len(lively)


def test_brightness_is_no_good_predictor(survey: Survey) -> None:
    assert 0.4 < roc_auc_score(survey.masks.ravel(), survey.images.ravel()) < 0.65
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in survey.images])
    for images in (survey.images, smooth):
        scores = [
            metric.score(found, survey.masks)
            for threshold in range(0, 256, 8)
            for found in (images > threshold, images < threshold)
        ]
        assert max(scores) <= 0.45


def test_texture_is_a_predictor(survey: Survey) -> None:
    """Layers reflect and salt hardly does, so the local strength of the amplitude separates them."""
    amplitude = survey.images.astype(np.float32)
    amplitude -= np.median(amplitude, axis=(1, 2), keepdims=True)
    strength = np.stack([cv2.GaussianBlur(tile**2, (0, 0), 8) for tile in amplitude])
    assert roc_auc_score(survey.masks.ravel(), -strength.ravel()) > 0.6


@pytest.mark.parametrize(("size", "count"), [(64, 60), (101, 30), (128, 16), (256, 4), (360, 2)])
def test_tiles_of_other_sizes_are_cut_apart(monkeypatch: pytest.MonkeyPatch, size: int, count: int):
    monkeypatch.setattr(survey_tiles, "TILE", size)
    numbers = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    section = SimpleNamespace(image=numbers, salt=numbers > 0, depth=float)
    tiles = [*survey_tiles.cut_tiles(cast("Section", section), np.random.default_rng(0))]
    assert {tile.image.shape for tile in tiles} == {(size, size)}
    assert len(np.unique([tile.image for tile in tiles])) == len(tiles) * size * size, "two tiles share a pixel"
    assert len(tiles) == count
