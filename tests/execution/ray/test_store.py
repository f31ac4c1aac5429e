"""Copies in the store are complete, and checked when they arrive."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from pipeline.artifacts import Freshness, Layout, locks
from pipeline.config import UserError, load
from pipeline.stages import train
from tests.conftest import held_elsewhere
from tests.execution.ray.helpers import LONGER


@pytest.mark.cluster
def test_what_was_damaged_in_the_store_does_not_arrive(serial: Path, tmp_path: Path):
    pytest.importorskip("fsspec")
    from pipeline.artifacts.remote import Store

    there, here = (Layout(root, "demo", "demo", load("demo", LONGER.split())) for root in (serial, tmp_path / "here"))
    Store((tmp_path / "store").as_uri(), serial).push(train.trained(there, 0))
    weights = tmp_path / "store/data/demo/experiments/demo/fold-0/best.weights.h5"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    store = Store((tmp_path / "store").as_uri(), tmp_path / "here")
    with pytest.raises(UserError, match=r"best.weights.h5 has other content"):
        store.pull(train.trained(here, 0), lambda manifest: True)
    assert not train.trained(here, 0).manifest_path.exists()
    # What is damaged is put there once more, and then arrives.
    Store((tmp_path / "store").as_uri(), serial).push(train.trained(there, 0))
    assert store.pull(train.trained(here, 0), lambda manifest: True)
    assert (train.trained(here, 0).folder / "best.weights.h5").read_bytes() == kept
    assert not store.pull(train.trained(here, 0), lambda manifest: False)
    assert not store.pull(train.trained(here, 1), lambda manifest: True)


@pytest.mark.cluster
def test_a_mirror_is_never_without_what_its_files_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("fsspec")
    from pipeline.artifacts.remote import Store

    here, there = tmp_path / "here", tmp_path / "there"
    (here / "backup").mkdir(parents=True)
    store = Store(there.as_uri(), here)
    (here / "backup/best-0.npz").write_text("best 0")
    time.sleep(0.02)
    (here / "backup/state.npz").write_text("state 0")
    (here / "backup/.state.npz.writing-1.npz").write_text("half")
    os.utime(here / "backup/state.npz", (1e9, 1e9))  # the clock was set back
    put, copied = store._put, list[str]()

    def recorded(path: Path) -> None:
        copied.append(path.name)
        put(path)

    monkeypatch.setattr(store, "_put", recorded)
    store.mirror(here / "backup")
    assert copied == ["best-0.npz", "state.npz"]
    assert store.names(here / "backup") == ["best-0.npz", "state.npz"]
    (here / "backup/best-1.npz").write_text("best 1")
    time.sleep(0.02)
    (here / "backup/state.npz").write_text("state 1")
    (here / "backup/best-0.npz").unlink()
    (there / "backup/.state.npz.arriving-lost-7").write_text("ha")
    store.mirror(here / "backup")
    assert sorted(path.name for path in (there / "backup").iterdir()) == ["best-1.npz", "state.npz"]
    assert (there / "backup/state.npz").read_text() == "state 1"
    shutil.rmtree(here / "backup")
    store.fetch(here / "backup")
    assert (here / "backup/best-1.npz").read_text() == "best 1"


@pytest.mark.cluster
def test_files_of_a_worker_that_was_lost_are_removed_once_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("fsspec")
    from pipeline.artifacts.remote import Store
    from pipeline.execution.ray import tasks

    def ended() -> None:
        kept.append((folder / "history.csv").is_file())
        release()

    task = train.task(Layout(tmp_path / "here", "demo", "demo", load("demo", LONGER.split())), 0)
    folder, store = task.trained.folder, Store((tmp_path / "store").as_uri(), tmp_path / "here")
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text("its own")
    monkeypatch.setattr(tasks, "_start", lambda context, job: (task, Freshness(), store))
    monkeypatch.setattr(tasks, "RemoteCallback", lambda *_, **__: None)
    monkeypatch.setattr(tasks, "complete_fold", lambda *_: completed.append((folder / "history.csv").exists()))
    kept: list[bool] = []
    completed: list[bool] = []
    monkeypatch.setattr(store, "push", lambda artifact: pushed.append(task.trained.lock_path in locks._held))
    pushed: list[bool] = []
    with held_elsewhere(task.trained) as (_, release):
        threading.Timer(0.5, ended).start()
        tasks.train_fold(None, None)  # type: ignore[arg-type]
    assert kept == [True]
    assert completed == [False]
    assert pushed == [True, True]


@pytest.mark.cluster
def test_a_backup_of_other_settings_stays_in_the_store_until_the_fold_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("fsspec")
    from pipeline.artifacts.remote import Store
    from pipeline.execution.ray import tasks

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    task = train.task(Layout(tmp_path / "here", "demo", "demo", load("demo", LONGER.split())), 0)
    store = Store((tmp_path / "store").as_uri(), tmp_path / "here")
    other = tmp_path / "store" / task.trained.folder.relative_to(tmp_path / "here") / "backup-other"
    other.mkdir(parents=True)
    (other / "state.npz").write_text("twenty epochs")
    monkeypatch.setattr(tasks, "_start", lambda context, job: (task, Freshness(), store))
    monkeypatch.setattr(tasks, "RemoteCallback", lambda *_, **__: None)
    monkeypatch.setattr(tasks, "complete_fold", stopped)
    with pytest.raises(KeyboardInterrupt):
        tasks.train_fold(None, None)  # type: ignore[arg-type]
    assert (other / "state.npz").is_file()
    monkeypatch.setattr(tasks, "complete_fold", lambda *_: None)
    monkeypatch.setattr(store, "push", lambda artifact: None)
    tasks.train_fold(None, None)  # type: ignore[arg-type]
    assert not other.exists()
