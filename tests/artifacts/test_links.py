"""Folders that are links to another disk: the link stays, and the files lie where it points."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.artifacts import Artifact, Freshness
from pipeline.artifacts.artifact import LOCKS
from pipeline.config import UserError
from pipeline.execution import local
from pipeline.execution.task import TrainTask
from pipeline.stages import split
from tests.artifacts.killed import killed_at_move
from tests.artifacts.test_locks import tree_of
from tests.conftest import TINY, Chain


@pytest.fixture
def first(tmp_path: Path) -> Artifact:
    """An artifact whose folder is a link to an empty one on another disk."""
    link = tmp_path / "here/first"
    link.parent.mkdir()
    moved(link, tmp_path / "disk/first")
    return Artifact("first", "split", link, "manifest.json", ("a.txt",))


def moved(folder: Path, target: Path) -> Path:
    """Move a folder, which need not exist, and put a link in its place, as a user does; returns where it is now."""
    target.parent.mkdir(exist_ok=True)
    if folder.is_dir():
        folder.rename(target)
    else:
        target.mkdir()
    folder.symlink_to(target)
    return target


def replace_it(artifact: Artifact, content: str) -> None:
    with artifacts.replacing(artifact) as folder:
        (folder / "a.txt").write_text(content)
        artifacts.commit(artifact, {}, time.monotonic(), at=folder)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_shared_folders_that_are_links_stay_links_and_are_made_again_where_they_point(chain: Chain):
    data = chain.root / "data/demo"
    assert chain("split") == 0
    folds = split.artifact(tree_of(chain.root)).folder
    links = {link: moved(link, chain.root / "disk" / link.name) for link in (data / "raw", data / "tiles", folds)}
    assert chain("split") == 0
    assert "split: up to date" in chain.printed
    for seed in ("1", "2"):  # the second time finds what the first one left
        before = {target: (target / "manifest.json").read_bytes() for target in links.values()}
        assert chain("split", settings=f"{TINY} survey.seed={seed}") == 0, chain.error
        assert all((target / "manifest.json").read_bytes() != content for target, content in before.items())
    assert all(link.readlink() == target for link, target in links.items())
    assert names(chain.root / "disk") == {target.name for target in links.values()}
    assert names(data) == {LOCKS, "raw", "tiles", "folds"}
    # What is removed is removed from the disk, and made again there.
    assert chain("clean", "prepare") == 0
    assert chain.printed == f"removed all that is in {data / 'tiles'}\n"
    assert names(links[data / "tiles"]) == set()
    assert chain("split", settings=f"{TINY} survey.seed=2") == 0, chain.error
    assert "manifest.json" in names(links[data / "tiles"])


def test_an_experiment_that_is_a_link_is_emptied(
    finished: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def copied(tasks: Sequence[TrainTask], jobs: int, page: object) -> None:
        for task in tasks:
            folder = task.trained.folder
            shutil.copytree(finished / folder.relative_to(root), folder)

    chain, link = Chain(root, capsys), root / "data/demo/experiments/demo"
    target = moved(link, root / "disk/demo")
    assert chain("submit") == 0
    assert "submit: up to date" in chain.printed
    assert {LOCKS, "fold-0", "test"} < names(target)
    assert chain("clean", "demo") == 0
    assert link.readlink() == target
    assert names(target) == set()
    monkeypatch.setattr(local, "train", copied)  # in place of a training
    assert chain("validate", "--folds", "0") == 0, chain.error
    assert link.readlink() == target
    assert {"fold-0", "cv.json"} < names(target)


def test_what_an_earlier_version_left_in_place_of_a_link_is_removed(first: Artifact, tmp_path: Path):
    for name in (".first.old", ".first.making"):
        (first.folder.parent / name).symlink_to(tmp_path / "disk/first")
    (tmp_path / "disk/first/a.txt").write_text("of the user")
    first.folder.unlink()
    replace_it(first, "new")
    assert names(first.folder.parent) == {LOCKS, "first"}
    assert (tmp_path / "disk/first/a.txt").read_text() == "of the user"


@pytest.mark.parametrize("moves", [1, 2])
def test_killed_at_any_move_behind_a_link_the_next_run_ends_it(first: Artifact, moves: int):
    replace_it(first, "old")
    killed_at_move(moves, lambda: replace_it(first, "new"))
    artifacts.check_links(first.folder)  # also while the link leads nowhere
    if not Freshness().state(first).done:
        replace_it(first, "new")
    assert (first.folder / "a.txt").read_text() == "new"
    assert first.folder.is_symlink()
    assert names(first.folder.resolve().parent) == {"first"}


def test_a_folder_with_other_files_is_not_replaced(first: Artifact):
    replace_it(first, "content")
    (first.folder / "photos").mkdir()
    with pytest.raises(UserError, match=r"holds other files that would be lost \(photos\)"):
        replace_it(first, "new")
    assert names(first.folder) == {"a.txt", "manifest.json", "photos"}
    assert (first.folder / "a.txt").read_text() == "content"


def test_the_root_of_a_disk_is_not_replaced(first: Artifact, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "is_mount", lambda path: True)
    with pytest.raises(UserError, match="a whole disk; let it point to a folder on that disk"):
        replace_it(first, "new")


@pytest.mark.parametrize(
    ("place", "what"),
    [("raw", "download"), ("tiles", "prepare"), ("experiments/demo", "demo"), ("experiments", "demo")],
)
def test_a_link_that_leads_nowhere_is_one_line_before_any_work(chain: Chain, place: str, what: str):
    link = chain.root / "data/demo" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(chain.root / "disk/away")
    before = {*chain.root.rglob("*")}
    for command in (("submit",), ("clean", what)):
        assert chain(*command) == 2
        assert chain.error.startswith(f"error: {link} is a link to {chain.root / 'disk/away'}, and there is no such")
        assert len(chain.error.splitlines()) == 1
    assert {*chain.root.rglob("*")} == before
    (chain.root / "disk/away").mkdir(parents=True)
    assert chain("split") == 0, chain.error


def test_an_archive_of_kaggle_has_a_place_before_it_is_fetched(chain: Chain):
    link = chain.root / "data/tgs/download"
    link.parent.mkdir(parents=True)
    link.symlink_to(chain.root / "away")
    assert chain("download", dataset="tgs", experiment="unet", settings="") == 2
    assert chain.error.startswith(f"error: {link} is a link to ")
