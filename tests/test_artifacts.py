"""What counts as done, what is stale and why, and that nothing half-made ever counts."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pipeline import artifacts, launch
from pipeline.artifacts import Artifact, BusyError, ChangedError, Ledger, Manifest, Tree
from pipeline.config import UserError, load
from tests.conftest import TINY, held_elsewhere

DEEP = b'{"artifact": "first", "format": 1, "settings": {"a": ' + b"[" * 99_999


def made(artifact: Artifact, content: str = "content") -> None:
    with artifacts.making(artifact) as folder:
        for name in artifact.outputs:
            (folder / name).write_text(content)
        artifacts.finish(artifact, {"answer": 42}, time.monotonic())


@pytest.fixture
def first(tmp_path: Path) -> Artifact:
    return Artifact("first", "split", tmp_path / "first", "manifest.json", ("a.txt",), settings={"split": {"folds": 5}})


@pytest.fixture
def second(tmp_path: Path, first: Artifact) -> Artifact:
    return Artifact("second", "split", tmp_path / "second", "manifest.json", ("b.txt",), inputs=(first,))


def test_missing_then_done_with_its_result(first: Artifact):
    assert Ledger().state(first).kind == "missing"
    made(first)
    assert Ledger().state(first).done
    manifest = Ledger().manifest(first)
    assert manifest is not None
    assert manifest.result == {"answer": 42}


def test_a_changed_setting_is_named(first: Artifact):
    made(first)
    state = Ledger().state(replace(first, settings={"split": {"folds": 3}}))
    assert (state.kind, state.why) == ("stale", "split.folds was 5, now 3")


def test_a_setting_newer_than_the_manifest_counts_as_its_default(first: Artifact):
    made(first)
    newer = {"folds": 5, "by": "depth", "bins": 10}  # of which the manifest knows the folds alone
    assert Ledger().state(replace(first, settings={"split": newer})).done
    state = Ledger().state(replace(first, settings={"split": {**newer, "bins": 20}}))
    assert (state.kind, state.why) == ("stale", "split.bins was 10, now 20")


def test_an_input_made_again_with_other_content_is_named(first: Artifact, second: Artifact):
    made(first)
    made(second)
    made(first, "other")
    assert Ledger().state(second).why == "first has changed"


def test_an_input_made_again_with_the_same_content_leaves_what_follows_fresh(first: Artifact, second: Artifact):
    made(first)
    made(second)
    made(first)
    assert Ledger().state(second).done


def test_what_follows_something_stale_is_stale(first: Artifact, second: Artifact):
    made(first)
    made(second)
    changed = replace(first, settings={"split": {"folds": 3}})
    assert Ledger().state(replace(second, inputs=(changed,))).why == "first is stale"


@pytest.mark.parametrize("damage", ["truncate", "delete", "empty"])
def test_a_damaged_output_is_found_at_a_glance(first: Artifact, damage: str):
    made(first)
    path = first.folder / "a.txt"
    if damage == "delete":
        path.unlink()
    else:
        path.write_text("" if damage == "empty" else "conten")
    state = Ledger().state(first)
    assert state.kind == "stale"
    assert "a.txt" in state.why


def test_a_flipped_byte_is_found_by_its_hash(first: Artifact):
    made(first)
    (first.folder / "a.txt").write_text("contemt")
    manifest = Ledger().manifest(first)
    assert manifest is not None
    assert Ledger().state(first).done
    assert "a.txt" in artifacts.verify(first, manifest)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"artifact": "first"}', DEEP])
def test_a_damaged_manifest_never_counts(first: Artifact, content: bytes):
    made(first)
    first.manifest_path.write_bytes(content)
    assert Ledger().state(first).kind == "stale"


def test_another_artifacts_manifest_never_counts(first: Artifact):
    made(first)
    assert "first" in Ledger().state(replace(first, name="other")).why


def test_a_failure_leaves_a_replaced_folder_as_it_was(first: Artifact):
    made(first)
    with pytest.raises(ZeroDivisionError), artifacts.replacing(first) as folder:
        (folder / "a.txt").write_text("half")
        raise ZeroDivisionError
    assert Ledger().state(first).done
    assert (first.folder / "a.txt").read_text() == "content"
    assert {path.name for path in first.folder.parent.iterdir()} == {".locks", "first"}


@pytest.mark.parametrize("moves", [1, 2])
def test_killed_at_any_move_of_a_folder_the_next_run_leaves_nothing_behind(
    first: Artifact, monkeypatch: pytest.MonkeyPatch, moves: int
):
    def replace_it() -> None:
        with artifacts.replacing(first) as folder:
            (folder / "a.txt").write_text("new")
            artifacts.finish(first, {}, time.monotonic(), at=folder)

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
    if not Ledger().state(first).done:
        replace_it()
    assert (first.folder / "a.txt").read_text() == "new"
    assert {path.name for path in first.folder.parent.iterdir()} == {".locks", "first"}


def test_a_failure_in_place_does_not_count(first: Artifact):
    made(first)
    with pytest.raises(ZeroDivisionError), artifacts.making(first):
        raise ZeroDivisionError
    assert Ledger().state(first).kind == "missing"


def test_what_was_made_of_an_input_that_changed_meanwhile_does_not_count(first: Artifact, second: Artifact):
    made(first)
    with artifacts.making(second, retired=False) as folder:
        seen = artifacts.inputs_now(second)
        made(first, "other")
        (folder / "b.txt").write_text("of the first content")
        with pytest.raises(UserError, match="first was made again meanwhile"):
            artifacts.finish(second, {}, time.monotonic(), seen=seen)
        with pytest.raises(UserError, match="first was made again meanwhile"):
            artifacts.retire(second, seen)
    assert Ledger().state(second).kind == "missing"


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file.npy"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), artifacts.writing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def ended() -> int:
    """The id of a process that has come to its end."""
    process = subprocess.Popen(["true"])
    process.wait(60)
    return process.pid


def test_a_file_that_another_host_is_writing_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, pid = tmp_path / "file.npy", ended()
    with contextlib.ExitStack() as stack:
        with monkeypatch.context() as elsewhere:
            # Its process id says nothing here.
            elsewhere.setattr(os, "getpid", lambda: pid)
            elsewhere.setattr(socket, "gethostname", lambda: "elsewhere")
            theirs = stack.enter_context(artifacts.writing(path))
            theirs.write_text("theirs")
        artifacts.write_text(path, "ours")
        assert path.read_text() == "ours"
        assert theirs.read_text() == "theirs"
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_two_hosts_with_one_process_id_write_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as elsewhere, artifacts.writing(tmp_path / "a.txt") as ours:
        elsewhere.setattr(socket, "gethostname", lambda: "elsewhere")
        with artifacts.writing(tmp_path / "a.txt") as theirs:
            assert ours.name != theirs.name
            ours.write_text("ours")
            theirs.write_text("theirs")
        assert (tmp_path / "a.txt").read_text() == "theirs"
    assert (tmp_path / "a.txt").read_text() == "ours"


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def left(host: str, pid: int, age: float) -> Path:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(socket, "gethostname", lambda: host)
            elsewhere.setattr(os, "getpid", lambda: pid)
            elsewhere.setattr(Path, "replace", lambda *_: None)  # as if killed before
            with artifacts.writing(tmp_path / "a.txt") as path:
                path.write_text("half")
        then = time.time() - age
        os.utime(path, (then, then))
        return path

    here, dead, alive = socket.gethostname(), ended(), os.getppid()
    kept = [left(here, alive, 0), left("elsewhere", dead, artifacts.DAY - 3600)]
    gone = [left(here, dead, 0), left("another", dead, artifacts.DAY + 3600)]
    artifacts.write_text(tmp_path / "a.txt", "whole")
    assert [path.exists() for path in kept] == [True, True]
    assert [path.exists() for path in gone] == [False, False]


def test_who_reads_the_old_file_is_not_disturbed_by_the_new_one(tmp_path: Path):
    path = tmp_path / "file.npy"
    path.write_text("old")
    with path.open() as reader:
        artifacts.write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_two_at_once_is_refused_with_the_others_process_id(first: Artifact):
    trained = replace(first, stage="train")
    with (
        held_elsewhere(trained) as (pid, _),
        pytest.raises(BusyError, match=f"process {pid} is"),
        artifacts.held(trained),
    ):
        pass
    with artifacts.held(trained):  # a dead process's lock does not block
        pass


def test_a_process_of_another_host_is_named_with_its_host(first: Artifact):
    trained = replace(first, stage="train")
    with held_elsewhere(trained):
        trained.lock_path.with_suffix(".pid").write_text("77 elsewhere")
        with pytest.raises(BusyError, match="process 77 on elsewhere is"), artifacts.held(trained):
            pass


@pytest.mark.parametrize("stage", ["download", "prepare", "split", "validate", "report", "submit"])
def test_what_takes_only_seconds_is_waited_for(first: Artifact, stage: str, monkeypatch: pytest.MonkeyPatch):
    def say(text: str) -> None:
        said.append(text)
        release()

    artifact, said = replace(first, stage=stage), list[str]()
    with held_elsewhere(artifact) as (pid, release):
        monkeypatch.setattr(artifacts, "say", say)
        with artifacts.held(artifact):
            pass
        assert said == [f"first: process {pid} is making it; waiting for it"]


def test_a_wait_comes_to_an_end(first: Artifact):
    with held_elsewhere(first), pytest.raises(BusyError), artifacts.held(first, patience=1.2):
        pass


def test_what_holds_a_lock_may_call_what_takes_it(first: Artifact):
    with artifacts.held(first):
        made(first)
        assert first.lock_path.with_suffix(".pid").is_file()
    assert Ledger().state(first).done
    with held_elsewhere(first):  # released for all others
        pass


def test_what_is_made_again_while_it_is_compared_keeps_its_manifest(
    first: Artifact, second: Artifact, monkeypatch: pytest.MonkeyPatch
):
    def slowly(artifact: Artifact, manifest: Manifest) -> str:
        """Its training ends after the files were compared with what the manifest said before."""
        fault = compare(artifact, manifest)
        monkeypatch.setattr(artifacts, "verify", compare)
        made(first, "another")
        return fault

    def prepared() -> None:
        made(first)
        (first.folder / "a.txt").write_text("damaged")
        monkeypatch.setattr(artifacts, "verify", slowly)

    compare = artifacts.verify
    prepared()
    assert artifacts.discard_damaged([second]) == ["first: another process has made it again meanwhile"]
    assert Ledger().state(first).done
    prepared()
    with pytest.raises(ChangedError, match="run this command again"):
        artifacts.discard_if_damaged(first)
    assert Ledger().state(first).done
    manifest = artifacts.read_manifest(first.manifest_path)
    assert manifest is not None
    assert artifacts.verify(first, manifest) == ""


def test_damage_is_removed_only_where_nobody_makes_it(first: Artifact):
    made(first)
    (first.folder / "a.txt").write_text("damaged")
    trained = replace(first, stage="train")
    with held_elsewhere(trained) as (pid, _), pytest.raises(BusyError, match=str(pid)):
        artifacts.discard_if_damaged(trained)
    assert first.manifest_path.is_file()
    assert artifacts.discard_if_damaged(trained) == "a.txt has other content than its manifest says"
    assert not first.manifest_path.exists()


def test_a_file_that_vanishes_while_it_is_compared_is_missing(first: Artifact, monkeypatch: pytest.MonkeyPatch):
    def gone(path: Path) -> artifacts.Output:
        path.unlink()
        return measure(path)

    made(first)
    manifest, measure = artifacts.read_manifest(first.manifest_path), artifacts.measure
    assert manifest is not None
    monkeypatch.setattr(artifacts, "measure", gone)
    assert artifacts.verify(first, manifest) == "a.txt is missing"


def test_one_ledger_tells_settings_with_the_same_manifest_apart(first: Artifact, root: Path):
    made(first)
    other, ledger = replace(first, settings={"split": {"folds": 3}}), Ledger()
    assert [ledger.state(each).kind for each in (first, other, first)] == ["done", "stale", "done"]
    tree = Tree(root, "demo", "demo", load("demo", TINY.split()))
    assert ledger.state(tree.validation((0, 1))).done
    assert ledger.state(tree.validation((0,))).kind == "stale"
    assert ledger.state(tree.report((0,))).why == "validate is stale"


def test_what_another_process_has_trained_meanwhile_is_not_trained_again(root: Path, monkeypatch: pytest.MonkeyPatch):
    work = launch.load_work()
    monkeypatch.setattr(work, "fit_fold", lambda *_, **__: 1 / 0)
    tree = Tree(root, "demo", "demo", load("demo", TINY.split()))
    work.train_fold(tree, 0)
    assert Ledger().state(tree.train(0)).done


def test_changing_the_learning_rate_reruns_training_not_the_split(tmp_path: Path):
    def tree(*assignments: str) -> Tree:
        return Tree(tmp_path, "demo", "unet", load("unet", list(assignments)))

    base, other = tree(), tree("train.learning_rate=0.5")
    assert base.split == other.split
    assert base.train(0).settings != other.train(0).settings
    told = tree("submit.message=hello")
    assert told.train(0) == base.train(0)
    assert told.test(0) == base.test(0)
    assert told.submission([0]) != base.submission([0])
    assert tree("train.workers=3", "predict.batch=7").test(0) == base.test(0)
    assert tree("predict.tta=[plain]").train(0) == base.train(0)
    assert tree("predict.tta=[plain]").out_of_fold(0) != base.out_of_fold(0)


def test_files_of_weights_follow_from_the_settings(tmp_path: Path):
    restarts = ["train.schedule=cosine_restarts", "train.cycles=3"]
    one = Tree(tmp_path, "demo", "unet", load("unet", restarts))
    two = Tree(tmp_path, "demo", "unet", load("unet", [*restarts, "train.snapshots=2"]))
    assert [path.name for path in one.weights(0)] == ["best.weights.h5"]
    assert [path.name for path in two.weights(0)] == ["best-of-cycle-2.weights.h5", "best-of-cycle-3.weights.h5"]
    assert two.train(0).outputs == tuple(path.name for path in two.weights(0))


def test_experiments_and_splits_never_share_a_folder(tmp_path: Path):
    seen = set()
    for by in ("depth", "coverage"):
        for seed in (0, 1):
            seen.add(Tree(tmp_path, "demo", "x", load("unet", [f"split.by={by}", f"split.seed={seed}"])).split.folder)
    assert len(seen) == 4


def test_the_owner_is_forgotten_when_the_lock_is_free(first: Artifact):
    with artifacts.held(first):
        owners = list(first.folder.parent.glob(".locks/*.pid"))
        assert [path.read_text() for path in owners] == [f"{os.getpid()} {socket.gethostname()}"]
    assert not list(first.folder.parent.glob(".locks/*.pid"))


def test_a_network_that_another_experiment_has_trained_is_taken_over_and_no_other(root: Path):
    def tree(name: str, *assignments: str) -> Tree:
        return Tree(root, "demo", name, load("demo", [*TINY.split(), *assignments]))

    source, other = tree("demo"), tree("other", "predict.tta=[plain]", "submit.min_area=7")
    assert artifacts.adopt(tree("reseeded", "train.seed=7"), 0) == ""
    assert artifacts.adopt(other, 0) == "demo"
    assert Ledger().state(other.train(0)).done
    (mine,), (theirs,) = other.weights(0), source.weights(0)
    assert mine.read_bytes() == theirs.read_bytes()
    assert not Ledger().state(other.train(1)).done
    # What is damaged there is not taken; what is one's own is no other experiment's.
    (damaged,) = source.weights(1)
    whole = bytearray(damaged.read_bytes())
    whole[len(whole) // 2] ^= 1
    damaged.write_bytes(whole)
    assert artifacts.adopt(other, 1) == ""
    assert artifacts.adopt(other, 0) == "demo"


def test_until_a_network_is_taken_over_whole_what_was_there_stays(root: Path, monkeypatch: pytest.MonkeyPatch):
    def tree(*assignments: str) -> Tree:
        return Tree(root, "demo", "other", load("demo", [*TINY.split(), *assignments]))

    mine, seeded = tree().train(0), tree("train.seed=7").train(0)
    assert artifacts.adopt(tree(), 0) == "demo"
    manifest = artifacts.read_manifest(mine.manifest_path)
    assert manifest is not None
    artifacts.write_manifest(mine.manifest_path, msgspec.structs.replace(manifest, settings=seeded.settings))
    assert Ledger().state(seeded).done

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def other(_: Path, there: Path) -> None:
        there.write_bytes(b"of another training, which has ended just now")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        artifacts.adopt(tree(), 0)
    monkeypatch.setattr(shutil, "copyfile", other)
    assert artifacts.adopt(tree(), 0) == ""
    assert Ledger().state(seeded).done
    assert artifacts.verify(seeded, msgspec.structs.replace(manifest, settings=seeded.settings)) == ""
