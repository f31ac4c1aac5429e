"""Several experiments as one blend: settings, artifacts, and from the command line to one CSV."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts, config
from pipeline.artifacts import Artifact, Blend, Freshness, Layout
from pipeline.cli.main import main
from pipeline.config import UserError, load
from pipeline.data import rle
from pipeline.data.folds import fold_of_tiles
from pipeline.scoring import postprocess
from pipeline.stages import predict, submit, train, validate
from pipeline.submission import csv_file
from pipeline.submission.masks import read_choice
from pipeline.system import environment
from tests.conftest import TINY, Chain, blobs, flip_a_bit, noisy, replace_array
from tests.scoring.test_blend import literal

SAME = (
    f"{TINY} network.attention=none network.hypercolumn=false network.deep_supervision=0 "
    "network.empty_head=0 augment.grid=0 train.late_loss=bce_lovasz "
    "train.learning_rate=2e-3 train.late_loss_start=1.0 train.ema_momentum=0.97"
)
"""With these the experiments `unet` and `demo` train the same network, so that one's weights stand for the other's."""


# ---- Settings and artifacts -----------------------------------------------------------------------------------------


def trees(root: Path, *assignments: str) -> list[Layout]:
    return [Layout(root, "demo", name, load(name, [*SAME.split(), *assignments])) for name in ("unet", "demo")]


def test_the_blend_has_the_split_of_its_members_and_separate_submit_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "is_from_make", lambda: False)
    members = {"kernel": load("kernel", ["split.by=depth"]), "unet": load("unet")}
    settings = config.blend(members, ["submit.threshold=0.4", "train.epochs=3"])
    assert settings.split == members["unet"].split
    assert (settings.submit.threshold, settings.submit.min_area) == (0.4, "auto")
    with pytest.raises(UserError, match=r"split\.by is coverage in kernel and depth in unet; .*--set split\.by="):
        config.blend({"kernel": load("kernel"), "unet": load("unet")})
    with pytest.raises(UserError, match=r"split\.seed is 0 in a and 1 in b"):
        config.blend({"a": load("unet"), "b": load("unet", ["split.seed=1"])})


def test_a_blend_is_one_artifact_in_any_order_with_inputs_labelled_by_member(tmp_path: Path):
    one, other = trees(tmp_path)
    blended = Blend([one, other], one.settings)
    assert blended.experiment == "demo+unet"
    assert artifacts.blend_name(["unet", "demo"]) == artifacts.blend_name(["demo", "unet"])
    assert validate.artifact(blended, [0, 1]) == validate.artifact(Blend([other, one], one.settings), [0, 1])
    labels = [each.label for each in submit.artifact(blended, [0, 1]).inputs]
    assert labels == [
        "prepare",
        "validate",
        *(f"{name} predict fold {fold}" for name in ("demo", "unet") for fold in (0, 1)),
    ]
    assert len({each.label for each in validate.artifact(blended, [0, 1]).inputs}) == 6


# ---- The command line -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blended(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished chain with useful predictions, a second experiment with others, and their blend."""
    root = tmp_path_factory.mktemp("blended")
    shutil.copytree(finished, root, dirs_exist_ok=True)
    experiments = root / "data/demo/experiments"
    gone = shutil.ignore_patterns("cv.json", "scores.csv", "choice.json", "report*")
    shutil.copytree(experiments / "demo", experiments / "unet", ignore=gone)
    truth = np.load(root / "data/demo/tiles/train_masks.npy", allow_pickle=False)
    for seed, layout in enumerate(trees(root)):
        folds = fold_of_tiles(layout.split_folder)
        for fold in (0, 1):
            replace_array(train.out_of_fold(layout, fold), noisy(truth[folds == fold], seed, 45))
            replace_array(predict.artifact(layout, fold), noisy(blobs(12)[1], 10 * seed + fold, 45))
    assert main(["submit", "--experiment", "unet,demo", *common(root)]) == 0
    return root


@pytest.fixture
def pair(blended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Chain:
    """The command line on a copy of both experiments and their blend."""
    shutil.copytree(blended, tmp_path / "root")
    return Chain(tmp_path / "root", capsys)


def common(root: Path) -> list[str]:
    return ["--root", str(root), "--dataset", "demo", "--set", SAME]


def run(chain: Chain, *arguments: str, experiment: str = "unet,demo", settings: str = SAME) -> int:
    return chain(*arguments, experiment=experiment, settings=settings)


def test_several_experiments_are_submitted_as_their_blend(blended: Path):
    folder, own = blended / "submissions/demo", blended / "data/demo/experiments/demo+unet"
    assert not (folder / "unet.csv").exists()
    assert {each.name for each in own.iterdir()} >= {"choice.json", "scores.csv", "cv.json", "report.html"}

    paths = [own.parent / name / "test" / f"fold-{fold}.npy" for name in ("demo", "unet") for fold in (0, 1)]
    mean = literal([np.load(path, allow_pickle=False) for path in paths], [1] * 4)
    how, votes = read_choice(own / "choice.json")
    assert votes == {"demo": 1, "unet": 1}
    images = np.load(blended / "data/demo/tiles/test_images.npy", allow_pickle=False)
    with (folder / "demo+unet.csv").open() as stream:
        written = rle.decode([row["rle_mask"] for row in csv.DictReader(stream)], 101, 101) > 0
    assert written.any()
    np.testing.assert_array_equal(written, postprocess.apply(mean, images, how))

    receipt = json.loads((folder / "demo+unet.json").read_text())
    assert {"demo predict fold 0", "unet predict fold 1"} <= set(receipt["inputs"])
    assert receipt["result"]["message"].startswith("demo+unet CV 0.")
    assert "score" in receipt["result"]
    with (blended / "submissions/leaderboard.csv").open() as stream:
        rows = {row["experiment"]: row for row in csv.DictReader(stream)}
    assert next(iter(rows)) == "demo+unet"
    assert set(rows) == {"demo", "unet", "demo+unet"}
    assert int(rows["demo+unet"]["parameters"]) == 2 * int(rows["demo"]["parameters"])
    assert rows["demo+unet"]["test answers"]
    page = (own / "report.html").read_text()
    assert "Members" in page
    assert "Learning curves" not in page
    result = json.loads((own / "cv.json").read_text())["result"]
    assert set(result["cv"]["folds"]) == {"0", "1"}
    assert result["cv"]["tiles"] == 40


def test_in_any_order_it_is_the_same_blend_and_done(pair: Chain):
    made = {path: path.stat().st_mtime_ns for path in pair.root.rglob("*") if path.is_file()}
    for experiment in ("demo,unet", "demo,unet,demo", "demo+unet"):
        assert run(pair, "submit", experiment=experiment) == 0
        assert "submit: up to date" in pair.printed
        assert "    demo              weight 0.50, CV alone 0." in pair.printed
        # The members' own submissions are left alone: nothing is printed about them, and nothing uploaded.
        assert pair.printed.count("CV (cross-fitted)") == 1
    assert run(pair, "validate") == 0
    assert pair.printed.count("CV (cross-fitted)") == 3
    # The Makefile passes no --root, so the message shows the full command.
    assert "python -m pipeline submit --dataset demo --experiment demo+unet --set " in pair.printed
    assert f" --root {pair.root}" in pair.printed
    assert {path: path.stat().st_mtime_ns for path in pair.root.rglob("*") if path.is_file()} == made


def test_clean_removes_the_blend_and_leaves_its_members(pair: Chain):
    experiments = pair.root / "data/demo/experiments"
    assert pair("clean", "unet+demo") == 0
    assert not (experiments / "demo+unet").exists()
    assert not (pair.root / "submissions/demo/demo+unet.csv").exists()
    assert (pair.root / "submissions/demo/demo.csv").is_file()
    assert (experiments / "unet/cv.json").is_file()
    assert run(pair, "status") == 0
    assert pair.printed.split("experiment demo+unet")[1].count("missing") == 3


def test_a_blend_is_stale_when_a_member_has_changed(pair: Chain):
    assert run(pair, "status") == 0
    status = pair.printed.split("experiment demo+unet")[1]
    assert [line.split()[:2] for line in status.splitlines()[1:]] == [
        ["validate", "done"],
        ["report", "done"],
        ["submit", "done"],
        ["CV", "(cross-fitted)"],
        ["next", "open"],
    ]
    layout = trees(pair.root)[0]
    found = np.load(layout.fold_folder(0) / "oof.npy", allow_pickle=False)
    replace_array(train.out_of_fold(layout, 0), found[:, ::-1])
    assert run(pair, "status") == 0
    status = pair.printed.split("experiment demo+unet")[1]
    assert "validate         stale: unet out-of-fold 0 has changed" in status
    before = (pair.root / "data/demo/experiments/demo+unet/scores.csv").read_bytes()
    assert run(pair, "validate") == 0
    assert (pair.root / "data/demo/experiments/demo+unet/scores.csv").read_bytes() != before


def replace_votes(root: Path, votes: dict[str, int]) -> Artifact:
    """Make the blend's validation again with other weights."""
    members = trees(root)
    layout = Blend(members, config.blend({each.experiment: each.settings for each in members}))
    artifact = validate.artifact(layout, (0, 1))
    manifest = Freshness().manifest(artifact)
    assert manifest is not None
    with artifacts.updating(artifact) as folder:
        chosen = json.loads((folder / "choice.json").read_text())
        (folder / "choice.json").write_text(json.dumps({**chosen, "votes": votes}))
        artifacts.commit(artifact, {**manifest.result, "votes": votes}, 0.0)
    return artifact


def test_a_blend_of_one_member_gets_no_csv_and_no_rank_and_prints_what_to_type(pair: Chain):
    (pair.root / "submissions/demo/demo+unet.csv").unlink()
    replace_votes(pair.root, {"demo": 0, "unet": 1})
    assert run(pair, "submit") == 2
    assert "the blend demo+unet is unet alone (weight 1)" in pair.error
    command = pair.error.split("submit unet itself: ")[1]
    # demo is the default experiment of this dataset, so unet is named.
    assert "-m pipeline submit --dataset demo --experiment unet --set" in command
    assert len(pair.error.splitlines()) == 1
    assert not (pair.root / "submissions/demo/demo+unet.csv").exists()
    with (pair.root / "submissions/leaderboard.csv").open() as stream:
        assert {row["experiment"] for row in csv.DictReader(stream)} == {"demo", "unet"}
    page = pair.root / "data/demo/experiments/demo+unet/report.html"
    assert "this blend is unet alone" in page.read_text()
    assert run(pair, "validate") == 0
    assert "warning: the blend demo+unet is unet alone" in pair.printed
    assert "next" not in pair.printed.split("warning: the blend")[1]
    replace_votes(pair.root, {"demo": 1, "unet": 1})
    assert run(pair, "submit") == 0
    assert (pair.root / "submissions/demo/demo+unet.csv").is_file()


def test_the_test_tiles_get_the_chosen_weights(pair: Chain):
    members = trees(pair.root)
    artifact = replace_votes(pair.root, {"demo": 1, "unet": 3})
    assert run(pair, "submit") == 0
    assert "demo              weight 0.25" in pair.printed
    paths = [predict.artifact(each, fold).folder / f"fold-{fold}.npy" for each in members for fold in (0, 1)]
    mean = literal([np.load(path, allow_pickle=False) for path in paths], [3, 3, 1, 1])
    how, _ = read_choice(artifact.folder / "choice.json")
    expected = postprocess.apply(mean, np.load(pair.root / "data/demo/tiles/test_images.npy", allow_pickle=False), how)
    with (pair.root / "submissions/demo/demo+unet.csv").open() as stream:
        written = rle.decode([row["rle_mask"] for row in csv.DictReader(stream)], 101, 101) > 0
    np.testing.assert_array_equal(written, expected)


def test_a_stopped_command_continues_when_it_is_run_again(pair: Chain, monkeypatch: pytest.MonkeyPatch):
    def stopped(*_: object) -> int:
        raise KeyboardInterrupt

    path = pair.root / "submissions/demo/demo+unet.csv"
    before = path.read_bytes()
    path.unlink()
    made = (pair.root / "data/demo/experiments/demo+unet/cv.json").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(csv_file, "check", stopped)
        assert run(pair, "submit") == 130
    assert not path.exists()
    assert run(pair, "submit") == 0
    assert path.read_bytes() == before
    assert (pair.root / "data/demo/experiments/demo+unet/cv.json").stat().st_mtime_ns == made


def test_a_damaged_input_is_made_again_before_the_blend_uses_it(pair: Chain):
    # The members no longer need this file but the blend does: its inputs are checked and made again.
    flip_a_bit(pair.root / "data/demo/tiles/test_images.npy")
    path = pair.root / "submissions/demo/demo+unet.csv"
    before = path.read_bytes()
    path.unlink()
    assert run(pair, "submit") == 0, pair.error
    assert "prepare: test_images.npy has other content than its manifest says; making it again" in pair.printed
    assert path.read_bytes() == before
    assert run(pair, "status", "--verify") == 0
    assert " damaged: " not in pair.printed
    assert "stale" not in pair.printed.split("experiment demo+unet")[1]


@pytest.mark.faults
def test_a_damaged_prediction_of_a_member_is_made_again_before_the_blend_uses_it(pair: Chain):
    flip_a_bit(pair.root / "data/demo/experiments/unet/test/fold-1.npy")
    (pair.root / "submissions/demo/demo+unet.csv").unlink()
    assert run(pair, "submit") == 0, pair.error
    assert "unet predict fold 1: fold-1.npy has other content than its manifest says; making it again" in pair.printed
    assert "fold 1: 12 test tiles predicted" in pair.printed
    assert run(pair, "status", "--verify") == 0
    assert " damaged: " not in pair.printed


def test_members_without_the_same_folds_are_refused_by_name(pair: Chain, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "is_from_make", lambda: False)
    shutil.rmtree(pair.root / "data/demo/experiments/unet/fold-1")
    (pair.root / "data/demo/experiments/unet/folds.json").write_text("[0]")
    assert run(pair, "submit") == 2
    assert pair.error.count("error:") == 1
    assert "unet has folds 0 and demo has folds 0,1" in pair.error
    assert "--folds 0" in pair.error
    assert run(pair, "report") == 0
    assert "no blend: unet has folds 0" in pair.printed
    assert (pair.root / "data/demo/experiments/demo+unet/cv.json").is_file()
