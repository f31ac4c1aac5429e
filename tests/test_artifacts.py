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
from pipeline.artifacts import Artifact, Ledger, Tree
from pipeline.config import UserError, load
from tests.conftest import TINY

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


def test_a_setting_that_is_back_at_its_default_is_named(first: Artifact):
    made(replace(first, settings={"split": {"folds": 3}}))
    assert Ledger().state(first).why == "split.folds was 3, now 5"
    assert (
        Ledger().state(replace(first, settings={"split": {"folds": 5, "bins": 10}})).why == "split.folds was 3, now 5"
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


def test_a_manifest_whose_content_was_changed_never_counts(first: Artifact):
    made(first)
    text = first.manifest_path.read_text()
    assert text.count('"answer": 42') == 1
    first.manifest_path.write_text(text.replace('"answer": 42', '"answer": 43'))
    assert Ledger().manifest(first) is None
    assert (Ledger().state(first).kind, Ledger().state(first).why) == ("stale", "manifest.json cannot be read")


def test_a_manifest_of_another_format_never_counts(first: Artifact, monkeypatch: pytest.MonkeyPatch):
    made(first)
    monkeypatch.setitem(artifacts.FORMAT, "split", artifacts.FORMAT["split"] + 1)
    assert (Ledger().state(first).kind, Ledger().state(first).why) == ("stale", "made in format 1, now 2")


@pytest.mark.parametrize("outputs", [(), ("b.txt",), ("a.txt", "b.txt")])
def test_a_manifest_of_other_files_never_counts(first: Artifact, outputs: tuple[str, ...]):
    made(first)
    state = Ledger().state(replace(first, outputs=outputs))
    assert (state.kind, state.why) == ("stale", "its manifest names other files")


def test_of_several_changed_settings_one_is_named_and_the_rest_counted(first: Artifact):
    first = replace(first, settings={"split": {"folds": 5, "by": "depth", "seed": 0}})
    made(first)
    changed = replace(first, settings={"split": {"folds": 5, "by": "random", "seed": 1}})
    assert Ledger().state(changed).why == "split.by was depth, now random and 1 more"


def test_extra_files_are_checked_but_nothing_depends_on_them(first: Artifact, second: Artifact):
    first = replace(first, extras=("log.txt",))
    second = replace(second, inputs=(first,))

    def make(log: str) -> artifacts.Manifest:
        with artifacts.making(first) as folder:
            (folder / "a.txt").write_text("content")
            (folder / "log.txt").write_text(log)
            return artifacts.finish(first, {}, time.monotonic())

    make("in 3 s")
    made(second)
    manifest = make("in 4 s")
    assert Ledger().state(second).done
    (first.folder / "log.txt").write_text("in 5 s")
    assert Ledger().state(first).done
    assert artifacts.verify(first, manifest) == "log.txt has other content than its manifest says"
    (first.folder / "log.txt").write_text("in 50 s")
    assert Ledger().state(first).why == "log.txt has another size than its manifest says"
    (first.folder / "log.txt").unlink()
    assert Ledger().state(first).why == "log.txt is missing"


def test_of_a_folder_the_names_the_contents_and_their_number_count(first: Artifact):
    first = replace(first, outputs=("tiles",))
    with artifacts.making(first) as folder:
        (folder / "tiles").mkdir()
        for name in ("a", "b", "c"):
            (folder / "tiles" / name).write_text(name)
        manifest = artifacts.finish(first, {}, time.monotonic())
    tiles = first.folder / "tiles"
    assert (manifest.outputs["tiles"].files, manifest.outputs["tiles"].bytes) == (3, 3)
    assert artifacts.verify(first, manifest) == ""
    (tiles / "c").rename(tiles / "d")
    assert Ledger().state(first).done  # at a glance
    assert artifacts.verify(first, manifest) == "tiles has other content than its manifest says"
    (tiles / "d").rename(tiles / "c")
    (tiles / "c").write_text("x")
    assert artifacts.verify(first, manifest) == "tiles has other content than its manifest says"
    (tiles / "c").unlink()
    assert Ledger().state(first).why == "tiles holds another number of files"
    assert artifacts.verify(first, manifest) == "tiles holds another number of files"
    # Where one file ends and the next one begins counts as well.
    found = []
    for texts in (("a", "bc"), ("ab", "c")):
        for name, text in zip(("a", "b"), texts, strict=True):
            (tiles / name).write_text(text)
        found.append(artifacts.measure(tiles))
    assert (found[0].files, found[0].bytes) == (found[1].files, found[1].bytes) == (2, 3)
    assert found[0].sha256 != found[1].sha256


def test_a_ledger_reads_a_manifest_once_until_it_is_told_to_forget(first: Artifact):
    ledger = Ledger()
    assert ledger.manifest(first) is None
    assert ledger.state(first).kind == "missing"
    made(first)
    assert ledger.manifest(first) is None
    assert ledger.state(first).kind == "missing"
    ledger.forget()
    assert ledger.state(first).done
    assert ledger.manifest(first) is not None


def test_what_is_trusted_counts_by_its_manifest_alone(first: Artifact, second: Artifact):
    made(first)
    made(second)
    shutil.rmtree(first.folder)
    (second.folder / "b.txt").unlink()
    assert Ledger([second]).state(second).done
    assert not Ledger().state(second).done
    assert not Ledger([first]).state(first).done  # it has no manifest
    third = replace(second, folder=second.folder.with_name("third"), name="third", inputs=(second,))
    made(third)
    assert Ledger([second]).state(third).done
    assert Ledger().state(third).why == "second is stale"


def test_a_manifest_from_elsewhere_fits_where_settings_and_inputs_are_the_same(first: Artifact, second: Artifact):
    made(first)
    made(second)
    manifest = Ledger().manifest(second)
    assert manifest is not None
    assert Ledger().fits(second, manifest)
    assert not Ledger().fits(replace(second, settings={"split": {"folds": 3}}), manifest)
    made(first, "other")
    assert not Ledger().fits(second, manifest)
    shutil.rmtree(first.folder)
    assert not Ledger().fits(second, manifest)


def test_what_is_damaged_loses_its_manifest_and_what_is_whole_keeps_it(first: Artifact, second: Artifact):
    made(first)
    made(second)
    assert artifacts.discard_if_damaged(first) == ""
    assert artifacts.discard_damaged([second]) == []
    assert Ledger().state(second).done
    (first.folder / "a.txt").write_text("contemt")
    (line,) = artifacts.discard_damaged([second, second])
    assert line == "first: a.txt has other content than its manifest says; making it again"
    assert Ledger().state(first).kind == "missing"
    assert artifacts.discard_if_damaged(first) == ""


def test_what_becomes_known_later_is_added_to_the_result(first: Artifact, second: Artifact):
    made(first)
    before = Ledger().manifest(first)
    artifacts.amend(first.manifest_path, {"score": 0.8})
    after = Ledger().manifest(first)
    assert before is not None
    assert after is not None
    assert after.result == {"answer": 42, "score": 0.8}
    assert (after.outputs, after.inputs, after.fingerprint) == (before.outputs, before.inputs, before.fingerprint)
    assert Ledger().state(first).done
    artifacts.amend(second.manifest_path, {"score": 0.8})
    assert not second.manifest_path.exists()


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
with held(Artifact("first", "split", Path(sys.argv[1]), "manifest.json", ("a.txt",))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_at_once_is_refused_with_the_others_process_id(first: Artifact):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(first.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=str(other.pid)), artifacts.held(first):
            pass
    finally:
        other.kill()
        other.wait(10)
    with artifacts.held(first):  # a dead process's lock does not block
        pass


def test_what_takes_only_seconds_is_waited_for(first: Artifact):
    brief = HOLD.replace('"split"', '"validate"').replace("time.sleep(60)", "time.sleep(0.5)")
    other = subprocess.Popen([sys.executable, "-c", brief, str(first.folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with artifacts.held(replace(first, stage="validate")):
        assert other.stdout.read() == ""  # it has come to its end
    assert other.wait(10) == 0


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
        assert [int(path.read_text()) for path in owners] == [os.getpid()]
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
