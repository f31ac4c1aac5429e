"""What counts as done, what is stale and why, and that nothing half-made ever counts."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pipeline import artifacts
from pipeline.artifacts import Artifact, Freshness, Layout
from pipeline.config import UserError, load
from tests.conftest import TINY

DEEP = b'{"artifact": "first", "format": 1, "settings": {"a": ' + b"[" * 99_999


def made(artifact: Artifact, content: str = "content") -> None:
    with artifacts.updating(artifact) as folder:
        for name in artifact.outputs:
            (folder / name).write_text(content)
        artifacts.commit(artifact, {"answer": 42}, time.monotonic())


@pytest.fixture
def first(tmp_path: Path) -> Artifact:
    return Artifact("first", "split", tmp_path / "first", "manifest.json", ("a.txt",), settings={"split": {"folds": 5}})


@pytest.fixture
def second(tmp_path: Path, first: Artifact) -> Artifact:
    return Artifact("second", "split", tmp_path / "second", "manifest.json", ("b.txt",), inputs=(first,))


def test_missing_then_done_with_its_result(first: Artifact):
    assert Freshness().state(first).kind == "missing"
    made(first)
    assert Freshness().state(first).done
    manifest = Freshness().manifest(first)
    assert manifest is not None
    assert manifest.result == {"answer": 42}


def test_a_changed_setting_is_named(first: Artifact):
    made(first)
    state = Freshness().state(replace(first, settings={"split": {"folds": 3}}))
    assert (state.kind, state.why) == ("stale", "split.folds was 5, now 3")


def test_a_setting_newer_than_the_manifest_counts_as_its_default(first: Artifact):
    made(first)
    newer = {"folds": 5, "by": "depth", "bins": 10}  # of which the manifest knows the folds alone
    assert Freshness().state(replace(first, settings={"split": newer})).done
    state = Freshness().state(replace(first, settings={"split": {**newer, "bins": 20}}))
    assert (state.kind, state.why) == ("stale", "split.bins was 10, now 20")


def test_an_input_made_again_with_other_content_is_named(first: Artifact, second: Artifact):
    made(first)
    made(second)
    made(first, "other")
    assert Freshness().state(second).why == "first has changed"


def test_an_input_made_again_with_the_same_content_leaves_what_follows_fresh(first: Artifact, second: Artifact):
    made(first)
    made(second)
    made(first)
    assert Freshness().state(second).done


def test_what_follows_something_stale_is_stale(first: Artifact, second: Artifact):
    made(first)
    made(second)
    changed = replace(first, settings={"split": {"folds": 3}})
    assert Freshness().state(replace(second, inputs=(changed,))).why == "first is stale"


@pytest.mark.parametrize("damage", ["truncate", "delete", "empty"])
def test_a_damaged_output_is_found_at_a_glance(first: Artifact, damage: str):
    made(first)
    path = first.folder / "a.txt"
    if damage == "delete":
        path.unlink()
    else:
        path.write_text("" if damage == "empty" else "conten")
    state = Freshness().state(first)
    assert state.kind == "stale"
    assert "a.txt" in state.why


def test_a_flipped_byte_is_found_by_its_hash(first: Artifact):
    made(first)
    (first.folder / "a.txt").write_text("contemt")
    manifest = Freshness().manifest(first)
    assert manifest is not None
    assert Freshness().state(first).done
    assert "a.txt" in artifacts.verify(first, manifest)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"artifact": "first"}', DEEP])
def test_a_damaged_manifest_never_counts(first: Artifact, content: bytes):
    made(first)
    first.manifest_path.write_bytes(content)
    assert Freshness().state(first).kind == "stale"


def test_another_artifacts_manifest_never_counts(first: Artifact):
    made(first)
    assert "first" in Freshness().state(replace(first, name="other")).why


def test_a_failure_leaves_a_replaced_folder_as_it_was(first: Artifact):
    made(first)
    with pytest.raises(ZeroDivisionError), artifacts.replacing(first) as folder:
        (folder / "a.txt").write_text("half")
        raise ZeroDivisionError
    assert Freshness().state(first).done
    assert (first.folder / "a.txt").read_text() == "content"
    assert {path.name for path in first.folder.parent.iterdir()} == {".locks", "first"}


@pytest.mark.parametrize("moves", [1, 2])
def test_killed_at_any_move_of_a_folder_the_next_run_leaves_nothing_behind(
    first: Artifact, monkeypatch: pytest.MonkeyPatch, moves: int
):
    def replace_it() -> None:
        with artifacts.replacing(first) as folder:
            (folder / "a.txt").write_text("new")
            artifacts.commit(first, {}, time.monotonic(), at=folder)

    def rename(path: Path, target: Path) -> Path:
        moved.append(path.name)
        found = really(path, target)
        if len(moved) == moves:
            raise KeyboardInterrupt
        return found

    made(first)
    moved: list[str] = []
    really = Path.rename
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "rename", rename)
        replace_it()
    if not Freshness().state(first).done:
        replace_it()
    assert (first.folder / "a.txt").read_text() == "new"
    assert {path.name for path in first.folder.parent.iterdir()} == {".locks", "first"}


def test_a_failure_in_place_does_not_count(first: Artifact):
    made(first)
    with pytest.raises(ZeroDivisionError), artifacts.updating(first):
        raise ZeroDivisionError
    assert Freshness().state(first).kind == "missing"


def test_what_was_made_of_an_input_that_changed_meanwhile_does_not_count(first: Artifact, second: Artifact):
    made(first)
    with artifacts.updating(second, invalidate_first=False) as folder:
        seen = artifacts.inputs_now(second)
        made(first, "other")
        (folder / "b.txt").write_text("of the first content")
        with pytest.raises(UserError, match="first was made again meanwhile"):
            artifacts.commit(second, {}, time.monotonic(), seen=seen)
        with pytest.raises(UserError, match="first was made again meanwhile"):
            artifacts.invalidate(second, seen)
    assert Freshness().state(second).kind == "missing"


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file.npy"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), artifacts.writing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_who_reads_the_old_file_is_not_disturbed_by_the_new_one(tmp_path: Path):
    path = tmp_path / "file.npy"
    path.write_text("old")
    with path.open() as reader:
        artifacts.write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


HOLD = """
import sys, time
from pathlib import Path
from pipeline.artifacts import Artifact, held
with locked(Artifact("first", "split", Path(sys.argv[1]), "manifest.json", ("a.txt",))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_at_once_is_refused_with_the_others_process_id(first: Artifact):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(first.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=str(other.pid)), artifacts.locked(first):
            pass
    finally:
        other.kill()
        other.wait(10)
    with artifacts.locked(first):  # a dead process's lock does not block
        pass


def test_what_takes_only_seconds_is_waited_for(first: Artifact):
    brief = HOLD.replace('"split"', '"validate"').replace("time.sleep(60)", "time.sleep(0.5)")
    other = subprocess.Popen([sys.executable, "-c", brief, str(first.folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with artifacts.locked(replace(first, stage="validate")):
        assert other.stdout.read() == ""  # it has come to its end
    assert other.wait(10) == 0


def test_changing_the_learning_rate_reruns_training_not_the_split(tmp_path: Path):
    def layout(*assignments: str) -> Layout:
        return Layout(tmp_path, "demo", "unet", load("unet", list(assignments)))

    base, other = layout(), layout("train.learning_rate=0.5")
    assert base.split == other.split
    assert base.train(0).settings != other.train(0).settings
    told = layout("submit.message=hello")
    assert told.train(0) == base.train(0)
    assert told.test(0) == base.test(0)
    assert told.submission([0]) != base.submission([0])
    assert layout("train.workers=3", "predict.batch=7").test(0) == base.test(0)
    assert layout("predict.tta=[plain]").train(0) == base.train(0)
    assert layout("predict.tta=[plain]").out_of_fold(0) != base.out_of_fold(0)


def test_files_of_weights_follow_from_the_settings(tmp_path: Path):
    restarts = ["train.schedule=cosine_restarts", "train.cycles=3"]
    one = Layout(tmp_path, "demo", "unet", load("unet", restarts))
    two = Layout(tmp_path, "demo", "unet", load("unet", [*restarts, "train.snapshots=2"]))
    assert [path.name for path in one.weights(0)] == ["best.weights.h5"]
    assert [path.name for path in two.weights(0)] == ["best-of-cycle-2.weights.h5", "best-of-cycle-3.weights.h5"]
    assert two.train(0).outputs == tuple(path.name for path in two.weights(0))


def test_experiments_and_splits_never_share_a_folder(tmp_path: Path):
    seen = set()
    for by in ("depth", "coverage"):
        for seed in (0, 1):
            seen.add(Layout(tmp_path, "demo", "x", load("unet", [f"split.by={by}", f"split.seed={seed}"])).split.folder)
    assert len(seen) == 4


def test_the_owner_is_forgotten_when_the_lock_is_free(first: Artifact):
    with artifacts.locked(first):
        owners = list(first.folder.parent.glob(".locks/*.pid"))
        assert [int(path.read_text()) for path in owners] == [os.getpid()]
    assert not list(first.folder.parent.glob(".locks/*.pid"))


def test_a_network_that_another_experiment_has_trained_is_taken_over_and_no_other(root: Path):
    def layout(name: str, *assignments: str) -> Layout:
        return Layout(root, "demo", name, load("demo", [*TINY.split(), *assignments]))

    source, other = layout("demo"), layout("other", "predict.tta=[plain]", "submit.min_area=7")
    assert artifacts.reuse_weights(layout("reseeded", "train.seed=7"), 0) == ""
    assert artifacts.reuse_weights(other, 0) == "demo"
    assert Freshness().state(other.train(0)).done
    (mine,), (theirs,) = other.weights(0), source.weights(0)
    assert mine.read_bytes() == theirs.read_bytes()
    assert not Freshness().state(other.train(1)).done
    # What is damaged there is not taken; what is one's own is no other experiment's.
    (damaged,) = source.weights(1)
    whole = bytearray(damaged.read_bytes())
    whole[len(whole) // 2] ^= 1
    damaged.write_bytes(whole)
    assert artifacts.reuse_weights(other, 1) == ""
    assert artifacts.reuse_weights(other, 0) == "demo"


def test_until_a_network_is_taken_over_whole_what_was_there_stays(root: Path, monkeypatch: pytest.MonkeyPatch):
    def layout(*assignments: str) -> Layout:
        return Layout(root, "demo", "other", load("demo", [*TINY.split(), *assignments]))

    mine, seeded = layout().train(0), layout("train.seed=7").train(0)
    assert artifacts.reuse_weights(layout(), 0) == "demo"
    manifest = artifacts.read_manifest(mine.manifest_path)
    assert manifest is not None
    artifacts.write_manifest(mine.manifest_path, msgspec.structs.replace(manifest, settings=seeded.settings))
    assert Freshness().state(seeded).done

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def other(_: Path, there: Path) -> None:
        there.write_bytes(b"of another training, which has ended just now")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        artifacts.reuse_weights(layout(), 0)
    monkeypatch.setattr(shutil, "copyfile", other)
    assert artifacts.reuse_weights(layout(), 0) == ""
    assert Freshness().state(seeded).done
    assert artifacts.verify(seeded, msgspec.structs.replace(manifest, settings=seeded.settings)) == ""
