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

from pipeline import artifacts
from pipeline.artifacts import Artifact, BusyError, ChangedError, Freshness, Layout, Manifest, integrity, locks
from pipeline.config import UserError, load
from pipeline.execution.backend import load_fold_module
from pipeline.stages import ROAD, Context, predict, report, split, submit, train, validate
from pipeline.system import atomic
from tests.artifacts.killed import killed_at_move
from tests.conftest import TINY, held_elsewhere

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


def test_a_setting_that_is_back_at_its_default_is_named(first: Artifact):
    made(replace(first, settings={"split": {"folds": 3}}))
    assert Freshness().state(first).why == "split.folds was 3, now 5"
    assert (
        Freshness().state(replace(first, settings={"split": {"folds": 5, "bins": 10}})).why
        == "split.folds was 3, now 5"
    )


def test_a_backup_is_of_its_settings_and_of_the_content_of_its_inputs(first: Artifact, second: Artifact):
    made(first)
    own = artifacts.backup_folder(second)
    made(first)
    assert artifacts.backup_folder(second) == own
    assert artifacts.backup_folder(replace(second, settings={"split": {"folds": 3}})) != own
    assert artifacts.backup_folder(replace(second, name="other")) != own
    made(first, "other")
    assert artifacts.backup_folder(second) != own
    made(first)
    assert artifacts.backup_folder(second) == own


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


def test_a_manifest_whose_content_was_changed_never_counts(first: Artifact):
    made(first)
    text = first.manifest_path.read_text()
    assert text.count('"answer": 42') == 1
    first.manifest_path.write_text(text.replace('"answer": 42', '"answer": 43'))
    assert Freshness().manifest(first) is None
    assert (Freshness().state(first).kind, Freshness().state(first).why) == ("stale", "manifest.json cannot be read")


def test_a_manifest_of_another_format_never_counts(first: Artifact):
    made(first)
    state = Freshness().state(replace(first, version=2))
    assert (state.kind, state.why) == ("stale", "made in format 1, now 2")


@pytest.mark.parametrize("outputs", [(), ("b.txt",), ("a.txt", "b.txt")])
def test_a_manifest_of_other_files_never_counts(first: Artifact, outputs: tuple[str, ...]):
    made(first)
    state = Freshness().state(replace(first, outputs=outputs))
    assert (state.kind, state.why) == ("stale", "its manifest names other files")


def test_of_several_changed_settings_one_is_named_and_the_rest_counted(first: Artifact):
    first = replace(first, settings={"split": {"folds": 5, "by": "depth", "seed": 0}})
    made(first)
    changed = replace(first, settings={"split": {"folds": 5, "by": "random", "seed": 1}})
    assert Freshness().state(changed).why == "split.by was depth, now random and 1 more"


def test_extra_files_are_checked_but_nothing_depends_on_them(first: Artifact, second: Artifact):
    first = replace(first, extras=("log.txt",))
    second = replace(second, inputs=(first,))

    def make(log: str) -> artifacts.Manifest:
        with artifacts.updating(first) as folder:
            (folder / "a.txt").write_text("content")
            (folder / "log.txt").write_text(log)
            return artifacts.commit(first, {}, time.monotonic())

    make("in 3 s")
    made(second)
    manifest = make("in 4 s")
    assert Freshness().state(second).done
    (first.folder / "log.txt").write_text("in 5 s")
    assert Freshness().state(first).done
    assert artifacts.verify(first, manifest) == "log.txt has other content than its manifest says"
    (first.folder / "log.txt").write_text("in 50 s")
    assert Freshness().state(first).why == "log.txt has another size than its manifest says"
    (first.folder / "log.txt").unlink()
    assert Freshness().state(first).why == "log.txt is missing"


def test_of_a_folder_the_names_the_contents_and_their_number_count(first: Artifact):
    first = replace(first, outputs=("tiles",))
    with artifacts.updating(first) as folder:
        (folder / "tiles").mkdir()
        for name in ("a", "b", "c"):
            (folder / "tiles" / name).write_text(name)
        manifest = artifacts.commit(first, {}, time.monotonic())
    tiles = first.folder / "tiles"
    assert (manifest.outputs["tiles"].files, manifest.outputs["tiles"].bytes) == (3, 3)
    assert artifacts.verify(first, manifest) == ""
    (tiles / "c").rename(tiles / "d")
    assert Freshness().state(first).done  # at a glance
    assert artifacts.verify(first, manifest) == "tiles has other content than its manifest says"
    (tiles / "d").rename(tiles / "c")
    (tiles / "c").write_text("x")
    assert artifacts.verify(first, manifest) == "tiles has other content than its manifest says"
    (tiles / "c").unlink()
    assert Freshness().state(first).why == "tiles holds another number of files"
    assert artifacts.verify(first, manifest) == "tiles holds another number of files"
    # Where one file ends and the next one begins counts as well.
    found = []
    for texts in (("a", "bc"), ("ab", "c")):
        for name, text in zip(("a", "b"), texts, strict=True):
            (tiles / name).write_text(text)
        found.append(artifacts.measure(tiles))
    assert (found[0].files, found[0].bytes) == (found[1].files, found[1].bytes) == (2, 3)
    assert found[0].sha256 != found[1].sha256


def test_a_manifest_is_read_once_until_it_is_forgotten(first: Artifact):
    freshness = Freshness()
    assert freshness.manifest(first) is None
    assert freshness.state(first).kind == "missing"
    made(first)
    assert freshness.manifest(first) is None
    assert freshness.state(first).kind == "missing"
    freshness.forget()
    assert freshness.state(first).done
    assert freshness.manifest(first) is not None


def test_what_is_trusted_counts_by_its_manifest_alone(first: Artifact, second: Artifact):
    made(first)
    made(second)
    shutil.rmtree(first.folder)
    (second.folder / "b.txt").unlink()
    assert Freshness([second]).state(second).done
    assert not Freshness().state(second).done
    assert not Freshness([first]).state(first).done  # it has no manifest
    third = replace(second, folder=second.folder.with_name("third"), name="third", inputs=(second,))
    made(third)
    assert Freshness([second]).state(third).done
    assert Freshness().state(third).why == "second is stale"


def test_a_manifest_from_elsewhere_fits_where_settings_and_inputs_are_the_same(first: Artifact, second: Artifact):
    made(first)
    made(second)
    manifest = Freshness().manifest(second)
    assert manifest is not None
    assert Freshness().fits(second, manifest)
    assert not Freshness().fits(replace(second, settings={"split": {"folds": 3}}), manifest)
    made(first, "other")
    assert not Freshness().fits(second, manifest)
    shutil.rmtree(first.folder)
    assert not Freshness().fits(second, manifest)


def test_what_is_damaged_loses_its_manifest_and_what_is_whole_keeps_it(first: Artifact, second: Artifact):
    made(first)
    made(second)
    assert artifacts.discard_if_damaged(first) == ""
    assert artifacts.discard_damaged([second]) == []
    assert Freshness().state(second).done
    (first.folder / "a.txt").write_text("contemt")
    (line,) = artifacts.discard_damaged([second, second])
    assert line == "first: a.txt has other content than its manifest says; making it again"
    assert Freshness().state(first).kind == "missing"
    assert artifacts.discard_if_damaged(first) == ""


def test_what_becomes_known_later_is_added_to_the_result(first: Artifact, second: Artifact):
    made(first)
    before = Freshness().manifest(first)
    artifacts.update_result(first.manifest_path, {"score": 0.8})
    after = Freshness().manifest(first)
    assert before is not None
    assert after is not None
    assert after.result == {"answer": 42, "score": 0.8}
    assert (after.outputs, after.inputs, after.fingerprint) == (before.outputs, before.inputs, before.fingerprint)
    assert Freshness().state(first).done
    artifacts.update_result(second.manifest_path, {"score": 0.8})
    assert not second.manifest_path.exists()


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
def test_killed_at_any_move_of_a_folder_the_next_run_leaves_nothing_behind(first: Artifact, moves: int):
    def replace_it() -> None:
        with artifacts.replacing(first) as folder:
            (folder / "a.txt").write_text("new")
            artifacts.commit(first, {}, time.monotonic(), at=folder)

    made(first)
    killed_at_move(moves, replace_it)
    if not Freshness().state(first).done:
        replace_it()
    assert (first.folder / "a.txt").read_text() == "new"
    assert {path.name for path in first.folder.parent.iterdir()} == {".locks", "first"}


def test_a_failure_in_place_does_not_count(first: Artifact):
    made(first)
    with pytest.raises(ZeroDivisionError), artifacts.updating(first):
        raise ZeroDivisionError
    assert Freshness().state(first).kind == "missing"


def test_what_was_made_while_an_input_was_missing_does_not_count(first: Artifact, second: Artifact):
    made(first)
    first.manifest_path.unlink()  # another command has begun to make it again
    with artifacts.updating(second, invalidate_first=False) as folder:
        seen = artifacts.inputs_now(second)
        (folder / "b.txt").write_text("of the first content")
        made(first, "other")
        with pytest.raises(UserError, match="first was made again or removed meanwhile"):
            artifacts.commit(second, {}, time.monotonic(), seen=seen)
    assert Freshness().state(second).kind == "missing"


def test_what_was_made_of_an_input_that_changed_meanwhile_does_not_count(first: Artifact, second: Artifact):
    made(first)
    with artifacts.updating(second, invalidate_first=False) as folder:
        seen = artifacts.inputs_now(second)
        made(first, "other")
        (folder / "b.txt").write_text("of the first content")
        with pytest.raises(UserError, match="first was made again or removed meanwhile"):
            artifacts.commit(second, {}, time.monotonic(), seen=seen)
        with pytest.raises(UserError, match="first was made again or removed meanwhile"):
            artifacts.invalidate(second, seen)
    assert Freshness().state(second).kind == "missing"


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file.npy"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic.writing(path) as temporary:
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
            theirs = stack.enter_context(atomic.writing(path))
            theirs.write_text("theirs")
        atomic.write_text(path, "ours")
        assert path.read_text() == "ours"
        assert theirs.read_text() == "theirs"
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_two_hosts_with_one_process_id_write_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as elsewhere, atomic.writing(tmp_path / "a.txt") as ours:
        elsewhere.setattr(socket, "gethostname", lambda: "elsewhere")
        with atomic.writing(tmp_path / "a.txt") as theirs:
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
            with atomic.writing(tmp_path / "a.txt") as path:
                path.write_text("half")
        then = time.time() - age
        os.utime(path, (then, then))
        return path

    here, dead, alive = socket.gethostname(), ended(), os.getppid()
    kept = [left(here, alive, 0), left("elsewhere", dead, atomic.DAY - 3600)]
    gone = [left(here, dead, 0), left("another", dead, atomic.DAY + 3600)]
    atomic.write_text(tmp_path / "a.txt", "whole")
    assert [path.exists() for path in kept] == [True, True]
    assert [path.exists() for path in gone] == [False, False]


def test_who_reads_the_old_file_is_not_disturbed_by_the_new_one(tmp_path: Path):
    path = tmp_path / "file.npy"
    path.write_text("old")
    with path.open() as reader:
        atomic.write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_two_at_once_is_refused_with_the_others_process_id(first: Artifact):
    with (
        held_elsewhere(first) as (pid, _),
        pytest.raises(BusyError, match=f"process {pid} is"),
        artifacts.locked(first),
    ):
        pass
    with artifacts.locked(first):  # a dead process's lock does not block
        pass


def test_a_process_of_another_host_is_named_with_its_host(first: Artifact):
    with held_elsewhere(first):
        first.lock_path.with_suffix(".pid").write_text("77 elsewhere")
        with pytest.raises(BusyError, match="process 77 on elsewhere is"), artifacts.locked(first):
            pass


def test_all_is_waited_for_but_the_work_of_a_fold(tmp_path: Path):
    layout = Layout(tmp_path, "demo", "unet", load("unet", ["split.group=mosaic", "train.pretrain=masked"]))
    context = Context(layout, Freshness(), (0,))
    waits = {stage.name: {artifact.lock_wait for artifact in stage.artifacts(context)} for stage in ROAD}
    assert waits == {
        "download": {3600},
        "prepare": {600},
        "mosaic": {600},
        "split": {600},
        "pretrain": {86400},
        "train": {0},
        "validate": {600},
        "report": {600},
        "predict": {0},
        "submit": {600},
    }


def test_an_artifact_is_waited_for(first: Artifact, monkeypatch: pytest.MonkeyPatch):
    def echo(text: str) -> None:
        lines.append(text)
        release()

    artifact, lines = replace(first, lock_wait=600), list[str]()
    with held_elsewhere(artifact) as (pid, release):
        monkeypatch.setattr(locks, "echo", echo)
        with artifacts.locked(artifact):
            pass
        assert lines == [f"first: process {pid} is making it; waiting for it"]


def test_a_wait_comes_to_an_end(first: Artifact):
    with held_elsewhere(first), pytest.raises(BusyError), artifacts.locked(first, wait=1.2):
        pass


def test_what_holds_a_lock_may_call_what_takes_it(first: Artifact):
    with artifacts.locked(first):
        made(first)
        assert first.lock_path.with_suffix(".pid").is_file()
    assert Freshness().state(first).done
    with held_elsewhere(first):  # released for all others
        pass


def test_what_is_made_again_while_it_is_compared_keeps_its_manifest(
    first: Artifact, second: Artifact, monkeypatch: pytest.MonkeyPatch
):
    def slowly(artifact: Artifact, manifest: Manifest) -> str:
        """Its training ends after the files were compared with the earlier manifest."""
        error = compare(artifact, manifest)
        monkeypatch.setattr(integrity, "verify", compare)
        made(first, "another")
        return error

    def prepared() -> None:
        made(first)
        (first.folder / "a.txt").write_text("damaged")
        monkeypatch.setattr(integrity, "verify", slowly)

    compare = artifacts.verify
    prepared()
    assert artifacts.discard_damaged([second]) == ["first: another process has made it again meanwhile"]
    assert Freshness().state(first).done
    prepared()
    with pytest.raises(ChangedError, match="run this command again"):
        artifacts.discard_if_damaged(first)
    assert Freshness().state(first).done
    manifest = artifacts.read_manifest(first.manifest_path)
    assert manifest is not None
    assert artifacts.verify(first, manifest) == ""


def test_damage_is_removed_only_where_nobody_makes_it(first: Artifact):
    made(first)
    (first.folder / "a.txt").write_text("damaged")
    with held_elsewhere(first) as (pid, _), pytest.raises(BusyError, match=str(pid)):
        artifacts.discard_if_damaged(first)
    assert first.manifest_path.is_file()
    assert artifacts.discard_if_damaged(first) == "a.txt has other content than its manifest says"
    assert not first.manifest_path.exists()


def test_a_file_that_vanishes_while_it_is_compared_is_missing(first: Artifact, monkeypatch: pytest.MonkeyPatch):
    def gone(path: Path) -> artifacts.Output:
        path.unlink()
        return measure(path)

    made(first)
    manifest, measure = artifacts.read_manifest(first.manifest_path), artifacts.measure
    assert manifest is not None
    monkeypatch.setattr(integrity, "measure", gone)
    assert artifacts.verify(first, manifest) == "a.txt is missing"


def test_one_ledger_tells_settings_with_the_same_manifest_apart(first: Artifact, root: Path):
    made(first)
    other, freshness = replace(first, settings={"split": {"folds": 3}}), Freshness()
    assert [freshness.state(each).kind for each in (first, other, first)] == ["done", "stale", "done"]
    layout = Layout(root, "demo", "demo", load("demo", TINY.split()))
    assert freshness.state(validate.artifact(layout, (0, 1))).done
    assert freshness.state(validate.artifact(layout, (0,))).kind == "stale"
    assert freshness.state(report.artifact(layout, (0,))).why == "validate is stale"


def test_what_another_process_has_trained_meanwhile_is_not_trained_again(root: Path, monkeypatch: pytest.MonkeyPatch):
    work = load_fold_module()
    monkeypatch.setattr(work, "fit_fold", lambda *_, **__: 1 / 0)
    layout = Layout(root, "demo", "demo", load("demo", TINY.split()))
    work.train_fold(train.task(layout, 0))
    assert Freshness().state(train.trained(layout, 0)).done


def test_changing_the_learning_rate_reruns_training_not_the_split(tmp_path: Path):
    def layout(*assignments: str) -> Layout:
        return Layout(tmp_path, "demo", "unet", load("unet", list(assignments)))

    base, other = layout(), layout("train.learning_rate=0.5")
    assert split.artifact(base) == split.artifact(other)
    assert train.trained(base, 0).settings != train.trained(other, 0).settings
    other_message = layout("submit.message=hello")
    assert train.trained(other_message, 0) == train.trained(base, 0)
    assert predict.artifact(other_message, 0) == predict.artifact(base, 0)
    assert submit.artifact(other_message, [0]) != submit.artifact(base, [0])
    assert predict.artifact(layout("train.workers=3", "predict.batch_size=7"), 0) == predict.artifact(base, 0)
    assert train.trained(layout("predict.tta=[plain]"), 0) == train.trained(base, 0)
    assert train.out_of_fold(layout("predict.tta=[plain]"), 0) != train.out_of_fold(base, 0)


def test_files_of_weights_follow_from_the_settings(tmp_path: Path):
    restarts = ["train.schedule=cosine_restarts", "train.cycles=3"]
    one = Layout(tmp_path, "demo", "unet", load("unet", restarts))
    two = Layout(tmp_path, "demo", "unet", load("unet", [*restarts, "train.snapshots=2"]))
    assert [path.name for path in train.trained(one, 0).paths] == ["best.weights.h5"]
    assert [path.name for path in train.trained(two, 0).paths] == [
        "best-of-cycle-2.weights.h5",
        "best-of-cycle-3.weights.h5",
    ]
    assert train.trained(two, 0).outputs == tuple(path.name for path in train.trained(two, 0).paths)


def test_experiments_and_splits_never_share_a_folder(tmp_path: Path):
    seen = set()
    for by in ("depth", "coverage"):
        for seed in (0, 1):
            seen.add(Layout(tmp_path, "demo", "x", load("unet", [f"split.by={by}", f"split.seed={seed}"])).split_folder)
    assert len(seen) == 4


def test_the_owner_is_forgotten_when_the_lock_is_free(first: Artifact):
    with artifacts.locked(first):
        owners = list(first.folder.parent.glob(".locks/*.pid"))
        assert [path.read_text() for path in owners] == [f"{os.getpid()} {socket.gethostname()}"]
    assert not list(first.folder.parent.glob(".locks/*.pid"))


def test_a_network_that_another_experiment_has_trained_is_taken_over_and_no_other(root: Path):
    def layout(name: str, *assignments: str) -> Layout:
        return Layout(root, "demo", name, load("demo", [*TINY.split(), *assignments]))

    source, other = layout("demo"), layout("other", "predict.tta=[plain]", "submit.min_area=7")
    assert artifacts.reuse_weights(train.trained(layout("reseeded", "train.seed=7"), 0)) == ""
    assert artifacts.reuse_weights(train.trained(other, 0)) == "demo"
    assert Freshness().state(train.trained(other, 0)).done
    (mine,), (theirs,) = train.trained(other, 0).paths, train.trained(source, 0).paths
    assert mine.read_bytes() == theirs.read_bytes()
    assert not Freshness().state(train.trained(other, 1)).done
    # What is damaged there is not taken; what is one's own is no other experiment's.
    (damaged,) = train.trained(source, 1).paths
    whole = bytearray(damaged.read_bytes())
    whole[len(whole) // 2] ^= 1
    damaged.write_bytes(whole)
    assert artifacts.reuse_weights(train.trained(other, 1)) == ""
    assert artifacts.reuse_weights(train.trained(other, 0)) == "demo"


def test_until_a_network_is_taken_over_whole_what_was_there_stays(root: Path, monkeypatch: pytest.MonkeyPatch):
    def layout(*assignments: str) -> Layout:
        return Layout(root, "demo", "other", load("demo", [*TINY.split(), *assignments]))

    mine, seeded = train.trained(layout(), 0), train.trained(layout("train.seed=7"), 0)
    assert artifacts.reuse_weights(train.trained(layout(), 0)) == "demo"
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
        artifacts.reuse_weights(train.trained(layout(), 0))
    monkeypatch.setattr(shutil, "copyfile", other)
    assert artifacts.reuse_weights(train.trained(layout(), 0)) == ""
    assert Freshness().state(seeded).done
    assert artifacts.verify(seeded, msgspec.structs.replace(manifest, settings=seeded.settings)) == ""
