"""Blends: weights that out-of-fold tiles have chosen, and several experiments from the command line to one CSV."""

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
from pipeline.config import SubmitSettings, UserError, load
from pipeline.data import rle
from pipeline.data.folds import fold_of_tiles
from pipeline.scoring import blend, metric
from pipeline.scoring import postprocess as rules
from pipeline.scoring.validation import validate
from pipeline.submission import csv_file as submission
from tests.conftest import TINY, Chain, blobs

SAME = (
    f"{TINY} network.attention=none network.hypercolumn=false network.deep_supervision=0 "
    "network.empty_head=0 augment.grid=0 train.late_loss=bce_lovasz "
    "train.learning_rate=2e-3 train.late_from=0.65 train.ema=0.97"
)
"""With these the experiments `unet` and `demo` train the same network, so that one's weights stand for the other's."""
PLAIN = SubmitSettings(threshold=0.5, min_area=0, rules=())


# ---- Weights --------------------------------------------------------------------------------------------------------


def noisy(truth: np.ndarray, seed: int, noise: float) -> np.ndarray:
    """Truth under noise in patches of 6 pixels, of which the mean of several has less."""
    draw = np.random.default_rng(seed)
    patches = draw.normal(0, noise, (len(truth), 17, 17)).repeat(6, 1).repeat(6, 2)[:, :101, :101]
    return np.clip(truth * 100.0 + 78 + patches, 0, 255).astype(np.uint8)


def literal(arrays: list[np.ndarray], votes: list[int]) -> np.ndarray:
    total = sum(vote * array.astype(int) for vote, array in zip(votes, arrays, strict=True))
    return np.floor(total / sum(votes) + 0.5).astype(np.uint8)


def test_a_mean_with_votes_is_rounded_to_the_nearest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blend, "CHUNK", 4)
    draw = np.random.default_rng(0)
    arrays = [draw.integers(0, 256, (10, 9, 9), np.uint8) for _ in range(3)]
    for votes in ((1, 1, 1), (3, 2, 1), (5, 0, 7)):
        np.testing.assert_array_equal(blend.mixed(arrays, votes), literal(arrays, list(votes)))
        np.testing.assert_array_equal(blend.average(arrays, 2, 5, votes), literal(arrays, list(votes))[2:5])
    assert blend.mixed(arrays, (0, 2, 0)) is arrays[1]
    for count, vote in ((2, 64), (2, 128), (257, 1), (2, 129), (1000, 12)):  # from 257 votes on more than 16 bits hold
        many = [np.full((1, 2, 2), 255, np.uint8)] * count
        assert (blend.average(many, 0, 1, [vote] * count) == 255).all()


def test_members_that_err_apart_are_blended_equally_and_do_better_together():
    images, truth = blobs(120)
    members = [noisy(truth, seed, 45) for seed in range(2)]
    dealt = np.arange(120) % 3
    together = validate(members, truth, images, dealt, PLAIN)
    alone = [validate([each], truth, images, dealt, PLAIN).score for each in members]
    assert together.votes == (1, 1)
    assert together.score > max(alone) + 0.02
    assert together.score == pytest.approx(metric.score(blend.mixed(members, (1, 1)) > 127, truth))


def test_a_member_that_spoils_the_mean_gets_no_vote():
    images, truth = blobs(60)
    members = [noisy(truth, 0, 40), noisy(1 - truth, 1, 40), noisy(truth, 2, 40)]
    result = validate(members, truth, images, np.arange(60) % 2, PLAIN)
    assert result.votes[1] == 0
    assert result.score > metric.score(blend.mixed(members, (1, 1, 1)) > 127, truth) + 0.1
    np.testing.assert_array_equal(blend.reduced((4, 0, 8)), (1, 0, 2))


def test_weights_are_chosen_near_the_threshold_that_is_chosen():
    # All probabilities are below a half, where a threshold of a half would tell no weights apart.
    images, truth = blobs(60)
    members = [noisy(truth, 0, 60) // 3, noisy(truth, 1, 20) // 3]
    result = validate(members, truth, images, np.arange(60) // 3 % 2, SubmitSettings(min_area=0, rules=()))
    assert result.choice.threshold < 0.3
    assert result.votes[1] > result.votes[0]


def test_weights_are_found_by_adding_whichever_vote_helps_most():
    _, truth = blobs(60)
    members = [noisy(truth, 0, 60), noisy(truth, 1, 20)]
    pool = blend.Pool(members, truth)
    everyone = np.ones(60, bool)
    votes = blend.choose(pool, 2, everyone, 0.5, 0)
    assert votes[1] > votes[0]
    assert pool.scores(votes, 0.5, 0).mean() > pool.scores((1, 1), 0.5, 0).mean() + 0.02
    assert sum(votes) <= blend.ROUNDS
    # Every score is that of the masks of the weighted mean.
    masks = blend.mixed(members, (2, 3)) > 127
    np.testing.assert_array_equal(pool.scores((4, 6), 0.5, 0), metric.tile_scores(masks, truth))
    small = np.where(masks.sum(axis=(1, 2), keepdims=True) < 2000, False, masks)
    np.testing.assert_array_equal(pool.scores((2, 3), 0.5, 2000), metric.tile_scores(small, truth))
    # Also with another threshold than before, and with a smallest area that a mask has exactly.
    higher = metric.apply(blend.mixed(members, (2, 3)), 0.7, 0)
    assert not np.array_equal(metric.tile_scores(higher, truth), metric.tile_scores(masks, truth))
    np.testing.assert_array_equal(pool.scores((2, 3), 0.7, 0), metric.tile_scores(higher, truth))
    exact = int(masks[1].sum())
    assert pool.scores((2, 3), 0.5, exact)[1] == metric.tile_scores(masks[1:2], truth[1:2])[0] > 0
    assert pool.scores((2, 3), 0.5, exact + 1)[1] == 0


def test_of_the_sums_on_the_way_the_best_is_kept():
    class Ratio(blend.Pool):
        """Scores best with three votes to two, which twelve votes cannot be dealt to."""

        def __init__(self) -> None:
            super().__init__([], np.zeros((40, 1, 1), np.uint8))

        def scores(self, votes: blend.Votes, threshold: float, min_area: int) -> np.ndarray:
            return np.full(40, 1 - abs(votes[0] / sum(votes) - 0.6))

    assert blend.choose(Ratio(), 2, np.ones(40, bool), 0.5, 0) == (3, 2)


@pytest.mark.parametrize(
    ("path", "votes"),
    [
        ([(each, 0) for each in range(1, 12)] + [(11, 1)], (11, 1)),  # twelve votes are given away
        ([(each, 0) for each in range(1, 12)] + [(11, 1), (12, 1)], (11, 1)),  # and no more
        ([(0, 1), (0, 2), (1, 2), (2, 2), (3, 2), (4, 2)], (2, 1)),  # returned in the smallest whole numbers
    ],
)
def test_twelve_votes_are_given_away(path: list[blend.Votes], votes: blend.Votes):
    class Path(blend.Pool):
        """Scores best along a path, the further the better."""

        def __init__(self) -> None:
            super().__init__([], np.zeros((40, 1, 1), np.uint8))

        def scores(self, votes: blend.Votes, threshold: float, min_area: int) -> np.ndarray:
            if votes == blend.reduced(path[-1]):  # what was found is scored in the smallest numbers
                votes = path[-1]
            return np.full(40, path.index(votes) + 1 if votes in path else 0) / 20

    assert blend.choose(Path(), 2, np.ones(40, bool), 0.5, 0) == votes


def test_weights_that_are_better_by_chance_are_not_taken():
    # Each member is right or wrong about a tile, surely or not, by the toss of a coin: no weights are better than equal
    # ones, though some of the many that are tried always look so on the tiles that they were found on.
    taken = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        truth = np.zeros((60, 4, 4), np.uint8)
        truth[:, :, :2] = 1
        right, sure = draw.choice([-1, 1], (3, 60, 1, 1)), draw.uniform(5, 120, (3, 60, 1, 1))
        members = [each.astype(np.uint8) for each in 128 + (2.0 * truth - 1) * right * sure]
        taken += blend.choose(blend.Pool(members, truth), 3, np.ones(60, bool), 0.5, 0) != (1, 1, 1)
    assert taken <= 2


def test_a_folds_weights_are_chosen_on_the_others():
    images, truth = blobs(120)
    # Fold 0 has most of the tiles, so that it would outvote the others if it had a say.
    dealt = np.where(np.arange(120) < 72, 0, 1 + np.arange(120) % 3)
    right, wrong = noisy(truth, 0, 10), noisy(1 - truth, 1, 10)
    # The first member is right everywhere but in fold 0, the second there alone.
    first = np.where((dealt == 0)[:, None, None], wrong, right)
    second = np.where((dealt == 0)[:, None, None], right, wrong)
    result = validate([first, second], truth, images, dealt, PLAIN)
    assert result.votes[1] > result.votes[0]
    assert result.folds[0] < 0.1


# ---- Settings and artifacts -----------------------------------------------------------------------------------------


def trees(root: Path, *assignments: str) -> list[Layout]:
    return [Layout(root, "demo", name, load(name, [*SAME.split(), *assignments])) for name in ("unet", "demo")]


def test_the_blend_has_the_split_of_its_members_and_submit_settings_of_its_own():
    members = {"kernel": load("kernel", ["split.by=depth"]), "unet": load("unet")}
    settings = config.blend(members, ["submit.threshold=0.4", "train.epochs=3"])
    assert settings.split == members["unet"].split
    assert (settings.submit.threshold, settings.submit.min_area) == (0.4, "auto")
    with pytest.raises(UserError, match=r"split\.by is coverage in kernel and depth in unet; .*--set split\.by="):
        config.blend({"kernel": load("kernel"), "unet": load("unet")})
    with pytest.raises(UserError, match=r"split\.seed is 0 in a and 1 in b"):
        config.blend({"a": load("unet"), "b": load("unet", ["split.seed=1"])})


def test_a_blend_is_one_artifact_in_any_order_and_tells_its_members_apart(tmp_path: Path):
    one, other = trees(tmp_path)
    blended = Blend([one, other], one.settings)
    assert blended.experiment == "demo+unet"
    assert artifacts.blend_name(["unet", "demo"]) == artifacts.blend_name(["demo", "unet"])
    assert blended.validation([0, 1]) == Blend([other, one], one.settings).validation([0, 1])
    labels = [each.label for each in blended.submission([0, 1]).inputs]
    assert labels == [
        "prepare",
        "validate",
        *(f"{name} predict fold {fold}" for name in ("demo", "unet") for fold in (0, 1)),
    ]
    assert len({each.label for each in blended.validation([0, 1]).inputs}) == 6


# ---- The command line -----------------------------------------------------------------------------------------------


def remade(artifact: Artifact, content: np.ndarray) -> None:
    """An artifact of one array made again with another content."""
    result = Freshness().manifest(artifact)
    with artifacts.updating(artifact) as folder:
        np.save(folder / artifact.outputs[0], content)
        artifacts.commit(artifact, result.result if result else {}, 0.0)


@pytest.fixture(scope="module")
def blended(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished chain with predictions that are worth something, a second experiment with others, and their blend."""
    root = tmp_path_factory.mktemp("blended")
    shutil.copytree(finished, root, dirs_exist_ok=True)
    experiments = root / "data/demo/experiments"
    gone = shutil.ignore_patterns("cv.json", "scores.csv", "choice.json", "report*")
    shutil.copytree(experiments / "demo", experiments / "unet", ignore=gone)
    truth = np.load(root / "data/demo/tiles/train_masks.npy", allow_pickle=False)
    for seed, layout in enumerate(trees(root)):
        dealt = fold_of_tiles(layout.split.folder)
        for fold in (0, 1):
            remade(layout.out_of_fold(fold), noisy(truth[dealt == fold], seed, 45))
            remade(layout.test(fold), noisy(blobs(12)[1], 10 * seed + fold, 45))
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
    how, votes = submission.read_choice(own / "choice.json")
    assert votes == {"demo": 1, "unet": 1}
    images = np.load(blended / "data/demo/tiles/test_images.npy", allow_pickle=False)
    with (folder / "demo+unet.csv").open() as stream:
        written = rle.decode([row["rle_mask"] for row in csv.DictReader(stream)], 101, 101) > 0
    assert written.any()
    np.testing.assert_array_equal(written, rules.apply(mean, images, how))

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
        # The members' own submissions are left alone: nothing is told, and nothing uploaded, of them.
        assert pair.printed.count("CV (cross-fitted)") == 1
    assert run(pair, "validate") == 0
    assert pair.printed.count("CV (cross-fitted)") == 3
    # A root of its own is none that make knows.
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
    told = pair.printed.split("experiment demo+unet")[1]
    assert [line.split()[:2] for line in told.splitlines()[1:]] == [
        ["validate", "done"],
        ["report", "done"],
        ["submit", "done"],
    ]
    layout = trees(pair.root)[0]
    found = np.load(layout.fold_folder(0) / "oof.npy", allow_pickle=False)
    remade(layout.out_of_fold(0), found[:, ::-1])
    assert run(pair, "status") == 0
    told = pair.printed.split("experiment demo+unet")[1]
    assert "validate         stale: unet out-of-fold 0 has changed" in told
    before = (pair.root / "data/demo/experiments/demo+unet/scores.csv").read_bytes()
    assert run(pair, "validate") == 0
    assert (pair.root / "data/demo/experiments/demo+unet/scores.csv").read_bytes() != before


def vote(root: Path, votes: dict[str, int]) -> Artifact:
    """The blend's validation, as if it had chosen other weights."""
    members = trees(root)
    layout = Blend(members, config.blend({each.experiment: each.settings for each in members}))
    artifact = layout.validation((0, 1))
    manifest = Freshness().manifest(artifact)
    assert manifest is not None
    with artifacts.updating(artifact) as folder:
        chosen = json.loads((folder / "choice.json").read_text())
        (folder / "choice.json").write_text(json.dumps({**chosen, "votes": votes}))
        artifacts.commit(artifact, {**manifest.result, "votes": votes}, 0.0)
    return artifact


def test_a_blend_of_one_member_gets_no_csv_and_no_rank_and_says_what_to_type(pair: Chain):
    (pair.root / "submissions/demo/demo+unet.csv").unlink()
    vote(pair.root, {"demo": 0, "unet": 1})
    assert run(pair, "submit") == 2
    assert "the blend demo+unet is unet alone (weight 1)" in pair.error
    command = pair.error.split("submit unet itself: ")[1]
    # unet is the default experiment.
    assert "-m pipeline submit --dataset demo --set" in command
    assert "--experiment" not in command
    assert len(pair.error.splitlines()) == 1
    assert not (pair.root / "submissions/demo/demo+unet.csv").exists()
    with (pair.root / "submissions/leaderboard.csv").open() as stream:
        assert {row["experiment"] for row in csv.DictReader(stream)} == {"demo", "unet"}
    page = pair.root / "data/demo/experiments/demo+unet/report.html"
    assert "this blend is unet alone" in page.read_text()
    assert run(pair, "validate") == 0
    assert "warning: the blend demo+unet is unet alone" in pair.printed
    assert "next" not in pair.printed.split("warning: the blend")[1]
    vote(pair.root, {"demo": 1, "unet": 1})
    assert run(pair, "submit") == 0
    assert (pair.root / "submissions/demo/demo+unet.csv").is_file()


def test_the_test_tiles_get_the_chosen_weights(pair: Chain):
    members = trees(pair.root)
    artifact = vote(pair.root, {"demo": 1, "unet": 3})
    assert run(pair, "submit") == 0
    assert "demo              weight 0.25" in pair.printed
    paths = [each.test(fold).folder / f"fold-{fold}.npy" for each in members for fold in (0, 1)]
    mean = literal([np.load(path, allow_pickle=False) for path in paths], [3, 3, 1, 1])
    how, _ = submission.read_choice(artifact.folder / "choice.json")
    expected = rules.apply(mean, np.load(pair.root / "data/demo/tiles/test_images.npy", allow_pickle=False), how)
    with (pair.root / "submissions/demo/demo+unet.csv").open() as stream:
        written = rle.decode([row["rle_mask"] for row in csv.DictReader(stream)], 101, 101) > 0
    np.testing.assert_array_equal(written, expected)


def test_stopped_in_the_middle_the_same_command_goes_on(pair: Chain, monkeypatch: pytest.MonkeyPatch):
    def stopped(*_: object) -> int:
        raise KeyboardInterrupt

    path = pair.root / "submissions/demo/demo+unet.csv"
    before = path.read_bytes()
    path.unlink()
    made = (pair.root / "data/demo/experiments/demo+unet/cv.json").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(submission, "check", stopped)
        assert run(pair, "submit") == 130
    assert not path.exists()
    assert run(pair, "submit") == 0
    assert path.read_bytes() == before
    assert (pair.root / "data/demo/experiments/demo+unet/cv.json").stat().st_mtime_ns == made


def spoil(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)


def test_damage_is_made_good_before_the_blend_uses_it(pair: Chain):
    # What the members need no more is looked at because the blend does; the road to it begins anew.
    spoil(pair.root / "data/demo/tiles/test_images.npy")
    path = pair.root / "submissions/demo/demo+unet.csv"
    before = path.read_bytes()
    path.unlink()
    assert run(pair, "submit") == 0, pair.error
    assert "prepare: test_images.npy has other content than its manifest says; making it again" in pair.printed
    assert path.read_bytes() == before
    assert run(pair, "status", "--verify") == 0
    assert "damaged" not in pair.printed
    assert "stale" not in pair.printed.split("experiment demo+unet")[1]


@pytest.mark.faults
def test_a_members_damage_is_made_good_before_the_blend_uses_it(pair: Chain):
    spoil(pair.root / "data/demo/experiments/unet/test/fold-1.npy")
    (pair.root / "submissions/demo/demo+unet.csv").unlink()
    assert run(pair, "submit") == 0, pair.error
    assert "unet predict fold 1: fold-1.npy has other content than its manifest says; making it again" in pair.printed
    assert "fold 1: 12 test tiles predicted" in pair.printed
    assert run(pair, "status", "--verify") == 0
    assert "damaged" not in pair.printed


def test_members_without_the_same_folds_are_refused_by_name(pair: Chain):
    shutil.rmtree(pair.root / "data/demo/experiments/unet/fold-1")
    (pair.root / "data/demo/experiments/unet/folds.json").write_text("[0]")
    assert run(pair, "submit") == 2
    assert pair.error.count("error:") == 1
    assert "unet has folds 0 and demo has folds 0,1" in pair.error
    assert "--folds 0" in pair.error
    assert run(pair, "report") == 0
    assert "no blend: unet has folds 0" in pair.printed
    assert (pair.root / "data/demo/experiments/demo+unet/cv.json").is_file()
