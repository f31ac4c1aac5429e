"""Finished folds: replaced only where the user agrees, whatever made them stale and whichever command would train."""

from __future__ import annotations

import builtins
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pipeline import artifacts
from pipeline.artifacts import Freshness, Layout, backup
from pipeline.config import load
from pipeline.execution import local
from pipeline.execution.task import TrainTask
from pipeline.road import consent
from pipeline.stages import train
from tests.conftest import TINY, Chain, common, flip_a_bit

LONGER = TINY.replace("train.epochs=2", "train.epochs=3")
TRAINING = ("train", "validate", "report", "predict", "submit")


@pytest.fixture
def chain(root: Path, capsys: pytest.CaptureFixture[str]) -> Chain:
    return Chain(root, capsys)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """What would be trained, experiment by experiment; each training is interrupted at once."""
    started: list[tuple[str, list[int]]] = []

    def interrupted(tasks: Sequence[TrainTask], jobs: int, page: object) -> None:
        started.append((tasks[0].experiment, [task.fold for task in tasks]))
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "train", interrupted)
    return started


def layout(root: Path, settings: str = TINY, experiment: str = "demo") -> Layout:
    return Layout(root, "demo", experiment, load("demo", settings.split()))


def files(root: Path) -> dict[Path, tuple[int, int]]:
    found = {path: path.stat() for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in found.items()}


@pytest.mark.parametrize("stage", TRAINING)
def test_a_finished_fold_is_not_replaced_unasked(chain: Chain, trained: list, stage: str):
    before = files(chain.root)
    assert chain(stage, settings=LONGER) == 2
    assert len(chain.error.splitlines()) == 1
    for words in (
        "experiment demo, folds 0, 1 (train.epochs was 2, now 3)",
        "RETRAIN=1 (--retrain)",
        "(train.epochs=2 in SET)",
        'base = "demo"',
    ):
        assert words in chain.error
    assert not trained
    assert files(chain.root) == before
    assert chain(stage) == 0
    assert f"{stage}: up to date" in chain.printed


def test_asked_to_it_is_and_a_killed_training_goes_on_unasked(chain: Chain, trained: list):
    assert chain("train", "--retrain", settings=LONGER) == 130
    assert trained == [("demo", [0, 1])]
    # Nothing of the old training is lost yet.
    assert Freshness().state(train.trained(layout(chain.root), 0)).done
    assert chain("submit", settings=LONGER) == 130
    assert len(trained) == 2
    # The consent is for these settings alone, and for what was there then.
    assert chain("train", settings=LONGER + " train.seed=1") == 2
    for fold in (0, 1):
        path = train.trained(layout(chain.root), fold).manifest_path
        manifest = artifacts.read_manifest(path)
        assert manifest is not None
        artifacts.write_manifest(path, msgspec.structs.replace(manifest, made={}))
    assert chain("train", settings=LONGER) == 2
    assert len(trained) == 2


def test_a_fold_that_is_done_is_not_trained_again_by_request(chain: Chain, trained: list):
    assert chain("train", "--retrain") == 0
    assert "train: up to date" in chain.printed
    assert not list(chain.root.rglob("backup*"))


def test_what_is_missing_or_damaged_is_trained_unasked(chain: Chain, trained: list):
    folder = chain.root / "data/demo/experiments/demo"
    flip_a_bit(folder / "fold-0/best.weights.h5")
    assert chain("train", settings=LONGER) == 2
    assert "experiment demo, fold 1 (" in chain.error
    assert chain("train", "--folds", "0", settings=LONGER) == 130
    (folder / "fold-0/best.weights.h5").unlink()
    assert chain("train", "--folds", "0", settings=LONGER) == 130
    (folder / "fold-1/train.json").write_text("{")
    assert chain("train", settings=LONGER) == 130
    shutil.rmtree(folder / "fold-1")
    assert chain("train", settings=LONGER) == 130
    assert trained == [("demo", [0]), ("demo", [0]), ("demo", [0, 1]), ("demo", [0, 1])]


def test_a_training_that_began_before_the_finished_one_has_no_consent(chain: Chain, trained: list):
    path = train.trained(layout(chain.root, LONGER), 0)
    state = artifacts.backup_folder(path) / backup.STATE
    state.parent.mkdir()
    state.write_bytes(b"of a training that was stopped before the other one began")
    assert chain("train", "--folds", "0", settings=LONGER) == 2
    manifest = artifacts.finished(path)
    assert manifest is not None
    artifacts.agree(path, manifest)
    assert chain("train", "--folds", "0", settings=LONGER) == 130
    assert state.is_file()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (TINY + " split.seed=3", "split has changed"),
        (TINY + " survey.seed=3", "prepare has changed"),
        (TINY + " train.batch_size=4 train.seed=1", "train.batch_size was 8, now 4 and 1 more"),
    ],
)
def test_whatever_made_it_stale_it_is_not_replaced_unasked(chain: Chain, trained: list, settings: str, why: str):
    assert chain("predict", settings=settings) == 2
    assert f"folds 0, 1 ({why})" in chain.error
    assert not trained


def test_a_new_format_replaces_nothing_unasked(chain: Chain, trained: list, monkeypatch: pytest.MonkeyPatch):
    trained_now = train.trained
    monkeypatch.setattr(train, "trained", lambda layout, fold: replace(trained_now(layout, fold), version=99))
    assert chain("submit") == 2
    assert "made in format 2, now 99" in chain.error
    assert not trained


@pytest.mark.parametrize("experiments", ["demo,kernel", "kernel,demo"])
@pytest.mark.parametrize("place", [(), ("--executor", "ray")])
def test_of_several_experiments_none_is_trained_before_all_are_agreed_to(
    chain: Chain, trained: list, monkeypatch: pytest.MonkeyPatch, experiments: str, place: tuple[str, ...]
):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert chain("train", *place, experiment=experiments, settings=LONGER) == 2
    assert "experiment demo, folds 0, 1 (" in chain.error
    assert "kernel" not in chain.error
    assert not trained


def test_a_network_is_taken_over_from_another_experiment_only_with_consent(chain: Chain):
    shutil.copytree(chain.root / "data/demo/experiments/demo", chain.root / "data/demo/experiments/kernel")
    seeded = layout(chain.root, TINY + " train.seed=7")
    for fold in (0, 1):
        artifact = train.trained(seeded, fold)
        manifest = artifacts.read_manifest(artifact.manifest_path)
        assert manifest is not None
        artifacts.write_manifest(artifact.manifest_path, msgspec.structs.replace(manifest, settings=artifact.settings))
    before = files(chain.root)
    assert chain("train") == 2
    assert "train.seed was 7, now 0" in chain.error
    assert files(chain.root) == before
    assert chain("train", "--retrain") == 0, chain.error
    assert "fold 1: experiment kernel has trained the same network; taken from there" in chain.printed
    assert Freshness().state(train.trained(layout(chain.root), 1)).done
    assert not list(chain.root.rglob("backup*"))


@pytest.mark.parametrize(("answer", "status"), [("y", 130), (" YES ", 130), ("n", 2), ("", 2), ("yesterday", 2)])
def test_on_a_terminal_it_asks(chain: Chain, trained: list, monkeypatch: pytest.MonkeyPatch, answer: str, status: int):
    monkeypatch.setattr(consent, "on_terminal", lambda: True)
    monkeypatch.setattr(builtins, "input", lambda: answer)
    assert chain("train", settings=LONGER) == status
    assert chain.printed.count("Replace? [y/N] ") == 1
    assert "experiment demo, folds 0, 1 (train.epochs was 2, now 3): already trained" in chain.printed
    assert bool(trained) == (status == 130)
    if status == 2:
        assert "error: nothing was replaced; to keep them" in chain.error


def test_a_terminal_is_one_where_it_reads_and_writes(root: Path):
    ours, theirs = pty.openpty()
    arguments = [sys.executable, "-m", "pipeline", "train", *common(root, LONGER)]
    ran = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.write(ours, b"n\n")
    _, error = ran.communicate(timeout=120)
    shown = os.read(ours, 10_000).decode()
    assert ran.returncode == 2
    assert "Replace? [y/N]" in shown
    assert "nothing was replaced" in error
    # Whose output goes to a file is not asked.
    ran = subprocess.Popen(arguments, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed, error = ran.communicate(timeout=120)
    assert ran.returncode == 2
    assert "Replace?" not in printed
    assert "RETRAIN=1" in error
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(("value", "given"), [("1", 1), ("yes", 1), ("0", 0), ("no", 0), ("false", 0), ("", 0)])
def test_make_hands_the_consent_over(value: str, given: int):
    project = Path(__file__).parents[2]
    for target in (*TRAINING, "demo", "split"):
        command = ["make", "-n", f"PYTHON3={sys.executable}", target, f"RETRAIN={value}"]
        printed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
        assert printed.count("--retrain") == (0 if target == "split" else given)


def test_settings_of_a_finished_training_are_printed_as_they_are_typed():
    assert consent._assigned(0.5) == "0.5"
    assert consent._assigned(True) == "true"
    assert consent._assigned("bce_dice") == "bce_dice"
    assert consent._assigned("") == '""'
    assert consent._assigned("a b") == '"a b"'
    assert consent._assigned([0.1, 0.2]) == "[0.1,0.2]"
    assert consent._assigned(["plain", "flip"]) == "[plain,flip]"
