"""All stages through the command line, on a tiny survey: what users type, and the files and lines that result."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline import artifacts, config
from pipeline.artifacts import backup
from pipeline.cli import main as command_line
from pipeline.data import rle
from pipeline.scoring import metric
from pipeline.scoring import postprocess as rules
from pipeline.stages import Context, predict, train
from pipeline.stages.command_line import command_line as command_of
from pipeline.submission.masks import read_choice
from pipeline.system import machine
from tests.browser import browser, look
from tests.conftest import TINY, Chain, command, common, replace_predictions


def test_the_chain_prints_its_score_and_where_everything_is(finished: Path):
    printed = (finished / "printed.txt").read_text()
    for word in (
        "CV (cross-fitted)",
        "over folds",
        "test answers",
        "demo.csv",
        "demo.json",
        "report.html",
        "ETA",
        "rules left out",
    ):
        assert word in printed, word
    assert "Traceback" not in printed


def test_training_leaves_a_page_of_its_progress_that_links_to_the_report(finished: Path):
    experiment = finished / "data/demo/experiments/demo"
    page = (experiment / "progress.html").read_text()
    assert (
        f"progress: {experiment / 'progress.html'}, updated after each epoch" in (finished / "printed.txt").read_text()
    )
    assert "4 of 4 epochs" in page
    assert page.count('class="lines"') == 2
    assert 'href="report.html"' in page
    assert "http-equiv" not in page
    for fold in (0, 1):
        with (experiment / f"fold-{fold}/history.csv").open() as stream:
            best = max(float(row["score"]) for row in csv.DictReader(stream))
        assert f"best {best:.4f} (epoch " in page


def test_the_csv_has_the_format_of_the_competition(finished: Path):
    with (finished / "submissions/demo/demo.csv").open() as stream:
        rows = list(csv.reader(stream))
    with (finished / "data/demo/raw/sample_submission.csv").open() as stream:
        sample = list(csv.reader(stream))
    assert rows[0] == ["id", "rle_mask"]
    assert [row[0] for row in rows] == [row[0] for row in sample]
    assert rle.decode([row[1] for row in rows[1:]], 101, 101).shape == (12, 101, 101)


def test_the_csv_has_the_masks_of_the_folds_mean_and_the_receipt_their_score(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    # With useful predictions instead of those of networks that were hardly trained.
    layout = artifacts.Layout(root, "demo", "demo", config.load("demo", TINY.split()))
    replace_predictions(layout)
    folds = [np.load(predict.artifact(layout, fold).path, allow_pickle=False) for fold in (0, 1)]
    assert Chain(root, capsys)("submit") == 0
    with (root / "submissions/demo/demo.csv").open() as stream:
        written = {row["id"]: rle.decode([row["rle_mask"]])[0] for row in csv.DictReader(stream)}
    how, _ = read_choice(layout.experiment_folder / "choice.json")
    mean = ((folds[0].astype(int) + folds[1] + 1) // 2).astype(np.uint8)
    images = np.load(layout.tiles_folder / "test_images.npy", allow_pickle=False)
    masks = np.stack([*written.values()])
    assert masks.any(axis=(1, 2)).sum() > 4
    np.testing.assert_array_equal(masks, rules.apply(mean, images, how))
    with (root / "data/demo/raw/solution.csv").open() as stream:
        answers = {row["id"]: row["rle_mask"] for row in csv.DictReader(stream)}
    receipt = json.loads((root / "submissions/demo/demo.json").read_text())["result"]
    assert receipt["score"] == pytest.approx(metric.score(masks, rle.decode([answers[name] for name in written])))


def test_the_receipt_records_how_the_score_was_obtained(finished: Path):
    receipt = json.loads((finished / "submissions/demo/demo.json").read_text())
    result = receipt["result"]
    assert result["cv"] == json.loads((finished / "data/demo/experiments/demo/cv.json").read_text())["result"]["cv"]
    assert set(result["cv"]["folds"]) == {"0", "1"}
    assert {"threshold", "min_area", "rules", "gains", "interval", "score_at_half"} <= set(result["cv"])
    assert "keras" in result["versions"]
    assert {"settings_fingerprint", "git_commit", "message"} <= set(result)
    assert {"validate", "predict fold 0", "predict fold 1"} <= set(receipt["inputs"])


def test_scores_of_each_tile_are_written(finished: Path):
    experiment = finished / "data/demo/experiments/demo"
    with (experiment / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 40
    cv = json.loads((experiment / "cv.json").read_text())["result"]["cv"]
    assert np.mean([float(row["score"]) for row in rows]) == pytest.approx(cv["score"])
    assert list(rows[0]) == ["id", "depth", "coverage", "fold", "score", "iou", "predicted"]


def test_the_report_opens_in_a_browser_and_fits_a_phone(finished: Path, tmp_path: Path):
    path = finished / "data/demo/experiments/demo/report.html"
    assert path.stat().st_size < 5_000_000
    with browser(tmp_path) as window:
        look(window, path)
        headings = [each.text for each in window.find_elements("css selector", "h2")]
        assert headings == [
            "Where points are lost",
            "Tiles",
            "Folds",
            "Learning curves",
            "Threshold and reliability",
            "Rules",
            "Settings",
            "Provenance",
        ]
        assert len(window.find_elements("css selector", "figure svg")) == 5
        broken = "return [...document.images].filter(each => !each.complete || !each.naturalWidth).length"
        assert window.execute_script(broken) == 0


def test_training_ends_with_a_table_of_folds_and_its_report(root: Path, capsys: pytest.CaptureFixture[str]):
    shutil.rmtree(root / "submissions")
    chain = Chain(root, capsys)
    (root / "data/demo/experiments/demo/report.html").unlink()
    assert chain("train") == 0
    assert "best    at 0.5" in chain.printed
    assert "CV (cross-fitted)" in chain.printed
    assert "python -m pipeline submit --dataset demo --set" in chain.printed
    assert (root / "data/demo/experiments/demo/report.html").is_file()
    assert (root / "submissions/leaderboard.html").is_file()


def test_show_draws_a_tile_with_its_properties(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    folder = root / "data/demo"
    with (folder / "tiles/train.csv").open() as stream:
        labelled = list(csv.DictReader(stream))[7]["id"]
    with (folder / "tiles/test.csv").open() as stream:
        test = next(csv.DictReader(stream))["id"]
    assert chain("show", labelled) == 0
    assert "labelled, depth" in chain.printed
    with (folder / "folds/depth-2-seed0-bins4/folds.csv").open() as stream:
        fold_of = {row["id"]: row["fold"] for row in csv.DictReader(stream)}
    fold = fold_of[labelled]
    place = [name for name, other in fold_of.items() if other == fold].index(labelled)
    found = np.load(folder / f"experiments/demo/fold-{fold}/oof.npy")
    found[:], found[place] = 0, 255  # so that no other tile's prediction can be taken for this one's
    path, manifest = folder / f"experiments/demo/fold-{fold}/oof.npy", folder / f"experiments/demo/fold-{fold}/oof.json"
    np.save(path, found)
    stored = artifacts.read_manifest(manifest)
    assert stored is not None
    artifacts.write_manifest(manifest, msgspec.structs.replace(stored, outputs={path.name: artifacts.measure(path)}))
    assert chain("show", labelled) == 0
    assert f"fold {fold}, score" in chain.printed
    assert "100.0% predicted" in chain.printed
    assert "IoU" in chain.printed
    assert chain("show", test) == 0
    assert "mean of 2 folds" in chain.printed
    found[place, 0, 0] = 254
    np.save(path, found)
    assert chain("show", labelled) == 2
    assert f"out-of-fold {fold}: oof.npy has other content than its manifest says; make train" in chain.error
    for name in (labelled, test):
        assert (folder / "experiments/demo/tiles" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert chain("show", "") == 2
    assert "name a tile: make show TILE=" in chain.error
    assert chain("show", labelled[:-1] + "?") == 2
    assert f"did you mean {labelled}" in chain.error
    assert chain("clean", "demo") == 0
    assert chain("show", labelled) == 0
    assert "no prediction of it yet" in chain.printed


def test_the_report_and_the_leaderboard_are_there(finished: Path):
    page = (finished / "data/demo/experiments/demo/report.html").read_text()
    assert "<svg" in page
    assert "data:image/png;base64" in page
    assert 'src="http' not in page
    assert "demo" in (finished / "submissions/leaderboard.md").read_text()
    with (finished / "submissions/leaderboard.csv").open() as stream:
        assert [row["experiment"] for row in csv.DictReader(stream)] == ["demo"]
    assert "<table" in (finished / "submissions/leaderboard.html").read_text()


def test_a_second_run_does_nothing_and_loads_no_framework(root: Path):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    code = (
        "import sys; from pipeline.cli.main import main; status = main(sys.argv[1:]); "
        "print(sorted({'keras', 'pandas', 'cv2', 'numpy'} & set(sys.modules))); sys.exit(status)"
    )
    for stage in ("download", "train", "predict", "submit"):
        ran = subprocess.run([sys.executable, "-c", code, stage, *common(root)], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert f"{stage}: up to date" in ran.stdout
        assert ran.stdout.splitlines()[-1] == "[]"
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before


def test_changing_a_setting_reruns_only_what_depends_on_it(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    assert chain("status", settings=TINY + " submit.message=hello") == 0
    assert [line.split()[0] for line in chain.printed.splitlines() if "stale" in line] == ["submit"]
    assert "message was" in chain.printed
    assert chain("status", settings=TINY.replace("train.epochs=2", "train.epochs=3")) == 0
    stale = [line for line in chain.printed.splitlines() if "stale" in line]
    assert "train.epochs was 2, now 3" in stale[0]
    assert not any(line.split()[0] in ("download", "prepare", "split") for line in stale)
    assert chain("submit", settings=TINY + " submit.message=hello submit.threshold=0.4") == 0
    assert "fold 0: best epoch" not in chain.printed
    assert "threshold 0.400" in chain.printed


def test_useless_predictions_cause_a_warning(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    assert chain("submit", settings=TINY + " submit.min_area=10201 submit.rules=[]") == 0
    assert "the score of predicting no salt in any tile: these predictions are worth nothing" in chain.printed
    assert "warning: the CSV predicts no salt in any of the 12 test tiles" in chain.printed
    assert '<p class="warning">warning: CV 0.' in (root / "data/demo/experiments/demo/report.html").read_text()


def test_settings_that_turn_out_to_be_impossible_leave_finished_work_alone(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    chain = Chain(root, capsys)
    impossible = TINY + " network.encoder=VGG16 network.weights=/nowhere.weights.h5"
    assert chain("train", "--retrain", settings=impossible) == 2
    assert "/nowhere.weights.h5" in chain.error
    assert chain("submit") == 0
    assert "fold 0: best epoch" not in chain.printed  # training it again would give the same
    assert "submit: up to date" in chain.printed


def test_damage_is_named_and_made_again(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    experiment = root / "data/demo/experiments/demo"
    before = (root / "submissions/demo/demo.csv").read_bytes()
    (experiment / "test/fold-1.npy").write_bytes(b"short")
    assert chain("status") == 0
    assert "fold-1.npy has another size" in chain.printed
    assert chain("submit") == 0
    assert "fold 1: 12 test tiles predicted" in chain.printed
    assert "fold 0: 12 test tiles predicted" not in chain.printed
    assert (root / "submissions/demo/demo.csv").read_bytes() == before

    found = np.load(experiment / "fold-0/oof.npy")
    found[0, 0, 0] ^= 1
    np.save(experiment / "fold-0/oof.npy", found)
    assert chain("status", "--verify") == 0
    assert "damaged: oof.npy has other content" in chain.printed
    # The report is made from it too, so it is made again first.
    (experiment / "report.html").unlink()
    assert chain("report") == 0
    assert "out-of-fold 0: oof.npy has other content than its manifest says; making it again" in chain.printed
    assert np.load(experiment / "fold-0/oof.npy")[0, 0, 0] == found[0, 0, 0] ^ 1


def test_some_folds_are_enough_to_submit_and_a_line_names_them(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    assert chain("clean", "train", "--folds", "1") == 0
    assert chain("submit") == 0
    assert "folds 0 of 2 are used" in chain.printed
    receipt = json.loads((root / "submissions/demo/demo.json").read_text())["result"]
    assert receipt["folds"] == [0]
    assert "folds 0 of 2" in receipt["message"]
    assert chain("train", "--folds", "0") == 0
    assert chain("status", "--folds", "0") == 0
    assert "stale" not in chain.printed
    assert chain("submit", "--folds", "0") == 0
    assert "submit: up to date" in chain.printed


def test_an_experiment_can_be_cleaned_when_its_toml_file_is_gone(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    experiments = root / "data/demo/experiments"
    shutil.copytree(experiments / "demo", experiments / "gone")
    (root / "submissions/demo/gone.csv").write_text("id,rle_mask\n")
    assert chain("clean", "nowhere") == 2
    assert chain("clean", "gone") == 0
    assert not (experiments / "gone").exists()
    assert not (root / "submissions/demo/gone.csv").exists()
    assert chain("clean", "demo") == 0
    assert "demo" not in (root / "submissions/leaderboard.csv").read_text()


def test_a_started_training_is_shown_for_its_own_settings_only(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    longer = TINY.replace("train.epochs=2", "train.epochs=3")
    layout = artifacts.Layout(root, "demo", "demo", config.load("demo", longer.split()))
    state = artifacts.backup_folder(train.trained(layout, 0)) / backup.STATE
    state.parent.mkdir()
    state.write_bytes(b"of a run that was killed")
    assert chain("status", settings=longer) == 0
    assert "fold 0     stale: train.epochs was 2, now 3; started; make train resumes" in chain.printed
    assert "fold 1     stale: train.epochs was 2, now 3\n" in chain.printed
    assert chain("status", settings=TINY.replace("train.epochs=2", "train.epochs=4")) == 0
    assert "; started" not in chain.printed
    # Predicting again with the finished network leaves it alone.
    assert chain("train", settings=TINY + " predict.tta=[plain]") == 0
    assert state.is_file()
    assert "epochs = 2" in (root / "data/demo/experiments/demo/config.toml").read_text()


def test_clean_removes_only_what_it_names(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    other = root / "data/demo/experiments/other/fold-0"
    other.mkdir(parents=True)
    assert chain("clean", "demo") == 0
    assert not (root / "data/demo/experiments/demo").exists()
    assert not (root / "submissions/demo/demo.csv").exists()
    assert other.is_dir()
    assert (root / "data/demo/tiles/train_images.npy").is_file()
    assert chain("clean", "nonsense") == 2
    assert "nonsense" in chain.error


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train", "--folds", "7"], "there is no fold 7"),
        (["train", "--folds", "x"], "0,2"),
        (["train", "--set", "train.epocs=3"], "did you mean 'train.epochs'"),
        (["train", "--experiment", "nothing"], "there is no experiment"),
        (["train", "--dataset", "../x"], "dataset"),
        # Refused before the first tile is made, not when the network is.
        (["train", "--dataset", "demo", "--set", "input.size=113"], "take 112 or 128"),
        (["train", "--dataset", "demo", "--set", "input.size=64"], "fewer than a tile's 101"),
        (["train", "--dataset", "demo", "--set", "input.resize=64"], "input.fit = resize"),
        (["train", "--dataset", "demo", "--experiment", "imagenet", "--set", "network.levels=6"], "levels = 4"),
        (["download", "--dataset", "demo", "--archive", "x.zip"], "DATASET="),
        (["download", "--dataset", "mine"], "ARCHIVE="),
        (["download", "--dataset", "mine", "--archive", "/nowhere.zip"], "/nowhere.zip"),
        (["train", "--jobs", "0"], "1 or more"),
        (["train", "--jobs", "x"], "a whole number, 1 or more, not 'x'"),
        (["train", "--folds", ","], "0,2"),
        (["train", "--set", "predict.tta=plain"], "a list in brackets"),
        (["show", "x", "--experiment", "unet,demo"], "one experiment"),
        (["train", "--experiment", "unet.toml"], "write unet"),
        (["train", "--archive", "~nobody-here/x.zip", "--dataset", "mine"], "~nobody-here/x.zip"),
        (["train", "--set", "submit.rules=fill_holes"], "submit.rules=[fill_holes]"),
        (["train", "--set", "train.epochs=5, train.batch_size=16"], "separated by spaces"),
        (["train", "--set", "train.batch_size=8 train.keep"], "separated by spaces"),
        (["clean", ".locks"], "nothing called '.locks'"),
        (["train", "--set", "train.tensorboard=yes"], "true or false"),
        (["nonsense"], "nonsense"),
    ],
)
def test_an_error_of_the_user_is_one_line_and_status_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
):
    options = [] if arguments == ["nonsense"] else ["--root", str(tmp_path)]
    try:
        status = command_line.main([*arguments, *options])
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    assert status == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "data/demo").exists()


def test_a_program_that_fails_prints_one_line_and_has_status_two(tmp_path: Path):
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline", "train", "--folds", "7", "--root", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert "there is no fold 7" in ran.stderr
    assert ran.stderr.startswith("error: ")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize(("backend", "line"), [("foo", "tensorflow, jax or torch"), ("torch", "pip install torch")])
def test_a_backend_that_is_not_installed_is_an_error_of_the_user(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, backend: str, line: str
):
    there = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == backend else there(name))
    monkeypatch.setenv("KERAS_BACKEND", backend)
    chain = Chain(root, capsys)
    assert chain("train", "--retrain", settings=TINY.replace("train.epochs=2", "train.epochs=3")) == 2
    assert line in chain.error


def test_a_value_may_hold_spaces(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    assert chain("status", settings="submit.message=for the last day " + TINY) == 0
    assert "message was , now for the last day\n" in chain.printed
    assert chain("status", settings=TINY + " submit.message=with a=b, train.ema_momentum this time") == 0
    assert "message was , now with a=b, train.ema_momentum this time\n" in chain.printed
    assert chain("status", settings='submit.message="now train.ema_momentum=0.9" ' + TINY) == 0
    assert "message was , now now train.ema_momentum=0.9\n" in chain.printed
    assert chain("submit", settings=TINY + " predict.tta=[plain, flip]") == 0
    assert "submit: up to date" in chain.printed


@pytest.mark.parametrize("message", ['the "best" one costs $5 or `id`', 'it\'s "`id` $5"'])
def test_make_passes_a_setting_on_unchanged(message: str):
    layout = artifacts.Layout(config.ROOT, "demo", "demo", config.load("demo"))
    context = Context(layout, artifacts.Freshness(), (0,), assignments=(f"train.epochs={message}",))
    next_line = command_of(context, "status")
    assert next_line.startswith("make status DATASET=demo SET=")
    ran = subprocess.run(["bash", "-c", next_line], cwd=config.ROOT, capture_output=True, text=True, timeout=60)
    assert f"error: --set train.epochs={message}: train.epochs must be a whole number" in ran.stderr


def test_the_next_command_is_complete(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    assert chain("train") == 0
    (line,) = [line for line in chain.printed.splitlines() if line.startswith("  next ")]
    arguments = shlex.split(line.removeprefix("  next"))
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert "submit: up to date" in ran.stdout


def test_a_reader_that_closes_the_output_is_no_error(finished: Path):
    line = " ".join([sys.executable, "-m", "pipeline", "status", "--dataset", "demo", "--root", str(finished)])
    ran = subprocess.run(["bash", "-c", f"{line} | true"], capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""


def test_more_folds_than_tiles_are_refused(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    assert chain("split", settings=TINY.replace("split.folds=2", "split.folds=500")) == 2
    assert "500" in chain.error


def test_an_archive_of_ones_own_gives_the_same_tiles(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    raw = root / "data/demo/raw"
    shutil.make_archive(str(root / "tiles"), "zip", raw)
    assert chain("prepare", "--archive", str(root / "tiles.zip"), dataset="mine") == 0
    for name in ("train_images.npy", "train_masks.npy", "test_images.npy"):
        mine, theirs = np.load(root / "data/mine/tiles" / name), np.load(root / "data/demo/tiles" / name)
        np.testing.assert_array_equal(mine, theirs)
    (raw / "train.csv").write_text("id,rle_mask\n")
    shutil.make_archive(str(root / "other"), "zip", raw)
    assert chain("prepare", "--archive", str(root / "other.zip"), dataset="mine") == 2
    assert "DATASET=other" in chain.error
    assert chain("prepare", "--archive", str(root / "tiles.zip"), dataset="mine") == 0


def test_an_archive_that_does_not_fit_the_dataset_is_refused_even_where_the_tiles_exist(chain: Chain):
    assert chain("download") == 0
    raw = chain.root / "data/demo/raw"
    for stage in ("download", "train", "submit"):
        assert chain(stage, "--archive", str(raw)) == 2, stage
        assert "the dataset 'demo' is the built-in survey" in chain.error
        assert chain(stage, "--archive", str(chain.root / "none.zip")) == 2, stage
    assert chain("download", "--archive", str(raw), dataset="mine") == 0
    for stage in ("download", "train", "submit"):
        assert chain(stage, "--archive", str(chain.root / "none.zip"), dataset="mine") == 2, stage
        assert "none.zip: there is no such file or folder; check the path" in chain.error
    assert chain("download", "--archive", str(raw), dataset="mine") == 0
    assert "up to date" in chain.printed


def test_killed_in_training_the_same_command_ends_with_the_same_submission(
    finished: Path, root: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.rmtree(root / "data/demo/experiments")
    shutil.rmtree(root / "submissions")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "submit", *common(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch   1/2" in line:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait(30)
    again = Chain(root, capsys)
    assert again("status") == 0
    assert again.printed.count("resumes after its last finished epoch") == 1
    progress = root / "data/demo/experiments/demo/progress.html"
    assert '<meta http-equiv="refresh"' in progress.read_text()
    assert again("submit") == 0, again.error
    assert "fold 0: resumes after epoch 1 of 2" in again.printed
    assert "4 of 4 epochs" in progress.read_text()
    assert "http-equiv" not in progress.read_text()
    assert (root / "submissions/demo/demo.csv").read_bytes() == (finished / "submissions/demo/demo.csv").read_bytes()
    assert not list(root.rglob("backup*"))
    assert not list(root.rglob(".*.writing*"))


@pytest.mark.faults
def test_an_interruption_is_one_line(finished: Path, tmp_path: Path):
    shutil.copytree(finished / "data/demo/raw", tmp_path / "data/demo/raw")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pipeline",
            "train",
            *common(tmp_path, TINY.replace("train.epochs=2", "train.epochs=500")),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch " in line and "ETA" in line:
            break
    process.send_signal(signal.SIGTERM)
    time.sleep(0)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "error: interrupted" in error


@pytest.mark.slow
def test_folds_at_once_give_the_same_as_folds_in_turn(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # With one thread in each process both add in the same order, so that the tolerance is nothing: the same bytes.
    # (Another number of threads, or another machine, adds in another order, and training carries that on; then scores
    # of so few tiles could not be distinguished from those of another seed, and no tolerance would show a wrong fold.)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv(machine.CORES, "1")  # which the folds at once share out
    found = {}
    for jobs in ("1", "2"):
        root = tmp_path / jobs
        shutil.copytree(finished / "data/demo/raw", root / "data/demo/raw")
        ran = command("submit", "--jobs", jobs, root=root)
        assert ran.returncode == 0, ran.stderr
        experiment = root / "data/demo/experiments/demo"
        assert "4 of 4 epochs" in (experiment / "progress.html").read_text()
        files = [*experiment.glob("fold-*/*.h5"), *experiment.glob("**/*.npy"), experiment / "scores.csv"]
        files.append(root / "submissions/demo/demo.csv")
        found[jobs] = {str(path.relative_to(root)): path.read_bytes() for path in files}
        assert len(found[jobs]) == 8
    assert found["1"] == found["2"]


def test_an_interrupt_that_a_framework_turns_into_another_error_is_still_one(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
):
    def swallow(options: object) -> None:
        del options
        try:
            os.kill(os.getpid(), signal.SIGTERM)  # a suite that a shell runs in the background ignores SIGINT
            time.sleep(5)
        except KeyboardInterrupt:
            raise SystemError("bad argument to internal function") from None

    monkeypatch.setitem(command_line.COMMANDS, "status", swallow)
    assert chain("status") == 130
    assert chain.error == "error: interrupted; run the same command again to continue\n"
    # The next command in this process knows nothing of it.
    monkeypatch.setitem(command_line.COMMANDS, "status", lambda options: 1 / 0)
    assert chain("status") == 1
    assert "ZeroDivisionError" in chain.error
