"""Commands side by side: what one is making, another one neither removes nor makes again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.artifacts import Artifact, Freshness, Layout, locks
from pipeline.artifacts.artifact import LOCKS
from pipeline.config import UserError, load
from pipeline.scoring import validation
from pipeline.stages import download, predict, prepare, report, split, submit, train, validate
from tests.conftest import TINY, Chain, flip_a_bit, held_elsewhere
from tests.test_faults import begin


def tree_of(root: Path, dataset: str = "demo") -> Layout:
    return Layout(root, dataset, "demo", load("demo", TINY.split()))


def files(root: Path) -> dict[str, bytes]:
    """Every file of a root folder but its locks."""
    paths = (path for path in root.rglob("*") if path.is_file() and LOCKS not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def printed_while_waiting(monkeypatch: pytest.MonkeyPatch, *then: Callable[[], object]) -> list[str]:
    """Lines that a command prints while it waits for a lock; ``then`` is called after each."""

    def echo(text: str) -> None:
        lines.append(text)
        for each in then:
            each()

    lines: list[str] = []
    monkeypatch.setattr(locks, "echo", echo)
    return lines


# ---- Clean ----------------------------------------------------------------------------------------------------------


def made_by(layout: Layout) -> Iterable[tuple[Artifact, tuple[str, ...]]]:
    """Artifacts, and what to clean in vain while they are being made."""
    yield download.artifact(layout), ("download",)
    yield prepare.artifact(layout), ("prepare",)
    yield split.artifact(layout), ("split",)
    yield train.trained(layout, 1), ("train", "demo")
    yield train.trained(layout, 9), ("demo",)  # of settings with more folds
    yield train.out_of_fold(layout, 0), ("train", "demo")
    yield predict.artifact(layout, 0), ("predict", "demo")
    yield validate.artifact(layout, ()), ("validate", "demo")
    yield report.artifact(layout, ()), ("report", "demo")
    yield submit.artifact(layout, ()), ("submit", "demo")


def test_clean_removes_nothing_that_another_process_is_making(root: Path, capsys: pytest.CaptureFixture[str]):
    chain, before = Chain(root, capsys), files(root)
    for artifact, cleaned in made_by(tree_of(root)):
        with held_elsewhere(artifact) as (pid, _):
            for what in cleaned:
                assert chain("clean", what) == 2, (artifact.name, what)
                assert chain.error.startswith(f"error: {artifact.name}: process {pid} is making it right now")
                assert "removed" not in chain.printed
        assert files(root) == before
    with held_elsewhere(train.trained(tree_of(root), 1)):
        assert chain("clean", "train", "--folds", "0") == 0
    for what in ("train", "demo"):
        assert chain("clean", what) == 0
    assert not (root / "data/demo/experiments/demo").exists()


def test_what_starts_again_while_an_experiment_is_removed_stays(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def remove(path: Path) -> None:
        really(path)
        if path.name == LOCKS:  # the first moment at which another process can take a lock there
            assert not [each for each in path.parent.iterdir() if each != path]
            (path.parent / "fold-0").mkdir()

    chain, really = Chain(root, capsys), shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", remove)
    assert chain("clean", "demo") == 0
    assert [path.name for path in (root / "data/demo/experiments/demo").iterdir()] == ["fold-0"]


def test_clean_of_an_experiment_takes_no_folds(root: Path, capsys: pytest.CaptureFixture[str]):
    chain, before = Chain(root, capsys), files(root)
    assert chain("clean", "demo", "--folds", "0") == 2
    assert re.search("clean.train (--experiment |EXPERIMENT=)demo (--folds |FOLDS=)0$", chain.error.strip())
    assert files(root) == before


def test_clean_of_nothing_makes_no_folder(chain: Chain):
    for what in ("download", "train", "submit", "unet"):
        assert chain("clean", what) == 0
        assert "nothing to remove" in chain.printed
    assert list(chain.root.iterdir()) == []


# ---- What takes only a while is waited for --------------------------------------------------------------------------


def test_two_fresh_experiments_side_by_side_make_what_they_share_once(tmp_path: Path):
    running = [begin(tmp_path, "split") for _ in range(2)]
    printed = []
    for each in running:
        output, error = each.communicate(timeout=240)
        assert each.returncode == 0, error
        printed.append(output)
    for made in ("survey: 40 labelled", "prepare: 40 labelled", "split: 40 tiles"):
        assert sum(output.count(made) for output in printed) == 1, printed


@pytest.mark.parametrize("stage", ["download", "prepare", "split"])
def test_what_another_process_made_meanwhile_is_not_made_again(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stage: str
):
    def made() -> None:
        shutil.move(root / "aside", artifact.folder)
        release()

    chain, layout = Chain(root, capsys), tree_of(root)
    artifact = {
        "download": download.artifact(layout),
        "prepare": prepare.artifact(layout),
        "split": split.artifact(layout),
    }[stage]
    before = files(root)
    shutil.move(artifact.folder, root / "aside")
    with held_elsewhere(artifact) as (pid, release):
        lines = printed_while_waiting(monkeypatch, made)
        assert chain("split") == 0
    assert lines == [f"{stage}: process {pid} is making it; waiting for it"]
    assert f"{stage}: another process has made it" in chain.printed
    assert files(root) == before  # also the manifest, with its time


def test_tiles_that_another_process_took_meanwhile_from_another_archive_are_refused(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def made() -> None:
        shutil.move(root / "aside", raw)
        release()

    chain = Chain(root, capsys)
    mine, other, raw = root / "mine", root / "other", root / "data/mine/raw"
    shutil.copytree(root / "data/demo/raw", mine)
    (mine / "manifest.json").unlink()
    shutil.copytree(mine, other)
    (other / "depths.csv").write_text((other / "depths.csv").read_text() + "\n")
    assert chain("download", "--archive", str(mine), dataset="mine") == 0
    shutil.move(raw, root / "aside")
    with held_elsewhere(download.artifact(tree_of(root, "mine"))) as (_, release):
        printed_while_waiting(monkeypatch, made)
        assert chain("prepare", "--archive", str(other), dataset="mine") == 2
    assert "is another archive" in chain.error


# ---- Readers --------------------------------------------------------------------------------------------------------


def test_show_removes_nothing_of_what_is_being_made(root: Path, capsys: pytest.CaptureFixture[str]):
    chain, layout = Chain(root, capsys), tree_of(root)
    name = np.genfromtxt(layout.tiles_folder / "test.csv", dtype=str, delimiter=",", skip_header=1)[0, 0]
    flip_a_bit(predict.artifact(layout, 1).folder / "fold-1.npy")
    with held_elsewhere(predict.artifact(layout, 1)) as (pid, _):
        assert chain("show", name) == 2
        assert chain.error.startswith(f"error: predict fold 1: process {pid} is making it right now")
        # Neither does a command that would use it.
        (root / "submissions/demo/demo.csv").unlink()
        assert chain("submit") == 2
        assert chain.error.startswith(f"error: predict fold 1: process {pid} is making it right now")
    assert predict.artifact(layout, 1).manifest_path.is_file()
    assert chain("show", name) == 2
    assert "fold-1.npy has other content than its manifest says" in chain.error
    assert not predict.artifact(layout, 1).manifest_path.exists()


def test_a_score_of_predictions_that_were_replaced_meanwhile_does_not_count(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def slowly(*arguments: object) -> object:
        with artifacts.updating(predicted) as folder:
            np.save(folder / "oof.npy", np.load(folder / "oof.npy", allow_pickle=False)[:, ::-1])
            artifacts.commit(predicted, made.result if made else {}, 0.0)
        return really(*arguments)  # type: ignore[arg-type]

    chain, layout, really = Chain(root, capsys), tree_of(root), validation.validate
    predicted = train.out_of_fold(layout, 0)
    made = artifacts.read_manifest(predicted.manifest_path)
    assert chain("clean", "validate") == 0
    with monkeypatch.context() as patched:
        patched.setattr(validation, "validate", slowly)
        assert chain("validate") == 2
    assert "out-of-fold 0 was made again or removed meanwhile" in chain.error
    assert not validate.artifact(layout, (0, 1)).manifest_path.exists()
    assert chain("validate") == 0


def test_a_manifest_that_was_replaced_in_the_store_meanwhile_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("fsspec")
    from pipeline.artifacts.remote import Store

    def push(content: str) -> None:
        artifact = Artifact("first", "split", tmp_path / "there/first", "manifest.json", ("a.txt",))
        with artifacts.updating(artifact) as folder:
            (folder / "a.txt").write_text(content)
            artifacts.commit(artifact, {}, 0.0)
        Store((tmp_path / "store").as_uri(), tmp_path / "there").push(artifact)

    def replaced(path: Path) -> None:
        monkeypatch.setattr(store, "_get", get)
        push("other")
        get(path)

    push("content")
    store = Store((tmp_path / "store").as_uri(), tmp_path / "here")
    here = Artifact("first", "split", tmp_path / "here/first", "manifest.json", ("a.txt",))
    get = store._get
    monkeypatch.setattr(store, "_get", replaced)
    with pytest.raises(UserError, match="was replaced meanwhile"):
        store.pull(here, lambda manifest: True)
    assert store.pull(here, lambda manifest: True)
    assert Freshness().state(here).done
