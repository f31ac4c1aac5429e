"""Rules from labelled neighbours through the command line, with and without a blend."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import config
from pipeline.artifacts import Layout
from pipeline.data import mosaic, rle
from pipeline.data.folds import fold_of_tiles
from pipeline.data.mosaic import Pairs
from pipeline.scoring import postprocess
from pipeline.scoring.neighbors import Neighbors
from pipeline.stages import predict, submit, train, validate
from pipeline.submission.masks import read_choice
from tests.conftest import Chain, blobs, replace_array
from tests.test_blend_command import SAME, trees

NEIGHBORS = f"{SAME} submit.neighbors=true"
TESTS = 12
"""Number of test tiles."""


@pytest.fixture
def sections(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[Chain, Neighbors]:
    """Two trained experiments with false alarms on empty tiles, which lie below one another; and who lies above whom.

    The first two test tiles are below an empty tile and below one with salt.
    """
    root = tmp_path / "root"
    shutil.copytree(finished, root)
    experiments = root / "data/demo/experiments"
    gone = shutil.ignore_patterns("cv.json", "scores.csv", "choice.json", "report*")
    shutil.copytree(experiments / "demo", experiments / "unet", ignore=gone)
    truth = np.load(root / "data/demo/tiles/train_masks.npy", allow_pickle=False)
    count, empty = len(truth), np.flatnonzero(~truth.any(axis=(1, 2)))
    partly = np.flatnonzero(truth[:, -1].any(axis=1) & ~truth[:, -1].all(axis=1))[0]
    assert len(empty) > 10
    found = np.where(truth, 230, 20).astype(np.uint8)
    found[empty, 20:60, 20:60] = 230
    tests = np.where(blobs(TESTS)[1], 230, 20).astype(np.uint8)
    tests[:2, 30:70, 30:70] = 230
    for layout in trees(root):
        folds = fold_of_tiles(layout.split_folder)
        for fold in (0, 1):
            replace_array(train.out_of_fold(layout, fold), found[folds == fold])
            replace_array(predict.artifact(layout, fold), tests)
    first, second = np.array([*empty, partly]), np.array([*empty[1:], count, count + 1])
    none = np.zeros(0, np.int64)
    pairs = {
        "vertical": Pairs(first, second, np.full(len(first), 0.1, np.float32)),
        "horizontal": Pairs(none, none, np.zeros(0, np.float32)),
    }
    monkeypatch.setattr(mosaic, "find_pairs", lambda images, axis, ratio: pairs[axis])
    above = np.full(TESTS, -1)
    above[:2] = empty[-1], partly
    unknown = np.full(TESTS, -1)
    return Chain(root, capsys), Neighbors(above, unknown, unknown, truth)


def written(chain: Chain, name: str) -> np.ndarray:
    """The masks of a CSV."""
    with (chain.root / f"submissions/demo/{name}.csv").open() as stream:
        return rle.decode([row["rle_mask"] for row in csv.DictReader(stream)], 101, 101) > 0


def test_the_masks_of_test_tiles_follow_their_labelled_neighbours(sections: tuple[Chain, Neighbors]):
    chain, around = sections
    assert not (chain.root / "data/demo/mosaic").exists()
    assert chain("submit", settings=NEIGHBORS) == 0, chain.error
    own = chain.root / "data/demo/experiments/demo"
    how, _ = read_choice(own / "choice.json")
    assert how.rules == ("neighbor_empty",)
    assert "of 40 tiles are above or below a labelled tile" in chain.printed
    assert "rules               neighbor_empty +0." in chain.printed
    masks = written(chain, "demo")
    tests = np.load(own / "test/fold-0.npy", allow_pickle=False)
    images = np.load(chain.root / "data/demo/tiles/test_images.npy", allow_pickle=False)
    np.testing.assert_array_equal(masks, postprocess.apply(tests, images, how, around))
    assert not masks[0].any()
    plain = postprocess.apply(tests, images, how)
    assert plain[:2].any(axis=(1, 2)).all()
    np.testing.assert_array_equal(masks[1:], plain[1:])
    # The page is drawn with the rules of the CSV, which fix what those of a fold did not.
    assert "no mask with the final threshold and rules" in (own / "report.html").read_text()
    assert "mosaic" in json.loads((own / "report.json").read_text())["inputs"]

    assert chain("submit", settings=NEIGHBORS) == 0
    assert "submit: up to date" in chain.printed
    assert chain("status", settings=SAME) == 0
    assert "stale: submit.neighbors was True, now False" in chain.printed


@pytest.mark.slow
def test_a_blend_follows_them_as_well(sections: tuple[Chain, Neighbors]):
    chain, around = sections
    assert chain("submit", settings=NEIGHBORS, experiment="unet,demo") == 0, chain.error
    own = chain.root / "data/demo/experiments/demo+unet"
    how, _ = read_choice(own / "choice.json")
    assert how.rules == ("neighbor_empty",)
    tests = np.load(own.parent / "unet/test/fold-0.npy", allow_pickle=False)
    images = np.load(chain.root / "data/demo/tiles/test_images.npy", allow_pickle=False)
    np.testing.assert_array_equal(written(chain, "demo+unet"), postprocess.apply(tests, images, how, around))
    assert not written(chain, "demo+unet")[0].any()


def test_only_with_the_setting_the_sections_are_an_input(tmp_path: Path):
    plain = validate.artifact(Layout(tmp_path, "demo", "unet", config.load("unet")), (0,)).settings
    assert "neighbors" not in plain["submit"]
    for assignments, expected in (([], False), (["submit.neighbors=true"], True)):
        layout = Layout(tmp_path, "demo", "unet", config.load("unet", assignments))
        for made in (validate.artifact(layout, (0,)), submit.artifact(layout, (0,))):
            assert ("mosaic" in {each.label for each in made.inputs}) is expected
