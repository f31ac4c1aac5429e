"""Folds and predictions on a Ray cluster: the same bytes as without it, also when a worker or a machine is lost.

Marked ``cluster`` (make test-cluster): a real cluster of two nodes on this machine.
"""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import rle
from tests.conftest import common
from tests.execution.ray.helpers import LONGER, ONE_CORE, Nodes, end, files, start, submitted, wait_for
from tests.test_faults import content, leftovers


@pytest.mark.cluster
def test_a_killed_worker_costs_nothing_that_was_saved(
    nodes: Nodes, serial: Path, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    experiment = fresh / "data/demo/experiments/demo"
    running = start("train", "--executor", "ray", "--address", nodes.address, root=fresh)
    wait_for(lambda: any((experiment / "fold-1").glob("backup-*/state.npz")), running)
    os.kill(int((experiment / ".locks/fold-1-train-fold-1.pid").read_text().split()[0]), signal.SIGKILL)
    printed = end(running)
    assert "train: 2 folds, 2 at once, 1 core each" in printed
    assert "fold 1: its worker on" in printed
    assert "fold 1: resumes after epoch" in printed
    assert "fold 0: its worker" not in printed
    # The lines of a run without Ray: each epoch of each fold once, and what came of it.
    for fold in (0, 1):
        assert f"fold {fold}: best epoch" in printed
        assert f"fold {fold}  epoch  12/12" in printed
    assert "ETA" in printed
    assert "CV (cross-fitted)" in printed

    # Without a given address, ``auto`` finds the cluster that this machine belongs to.
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    printed = end(start("predict", "--executor", "ray", "--address", "auto", root=fresh))
    assert "fold 1: 600 test tiles predicted" in printed
    assert content(fresh) == content(serial)
    # Tasks wrote their own folds' folders, and the driver what it writes without them.
    assert files(fresh) == files(serial)
    assert leftovers(fresh) == []
    assert not list(experiment.glob("test/*.parts"))
    for fold in (0, 1):
        assert (experiment / f"test/fold-{fold}.npy").read_bytes() == (
            serial / f"data/demo/experiments/demo/test/fold-{fold}.npy"
        ).read_bytes()
    # The CSV is the same as well; a threshold amid the probabilities gives masks that are neither empty nor full.
    middle = np.median(np.load(experiment / "test/fold-0.npy", allow_pickle=False)) / 255
    settings = f"{LONGER} submit.threshold={middle:.3f} submit.min_area=0 submit.rules=[]"
    alone = shutil.copytree(serial, tmp_path / "alone")
    for each in (fresh, alone):
        end(start("submit", root=each, settings=settings))
    assert submitted(fresh) == submitted(alone)
    ids, texts = zip(*(line.split(",") for line in submitted(fresh).decode().splitlines()[1:]), strict=True)
    assert len({*ids}) == 600
    assert 0.1 < rle.decode(texts).mean() < 0.9


@pytest.mark.cluster
def test_a_lost_machine_costs_nothing_that_is_in_the_store(nodes: Nodes, serial: Path, fresh: Path, tmp_path: Path):
    store = tmp_path / "store"
    options = ("--executor", "ray", "--address", nodes.address, "--store", store.as_uri())
    running = start("train", *options, root=fresh)
    locks = "*/data/demo/experiments/demo/.locks/fold-*-train-fold-*.pid"

    def saved() -> list[str]:
        """Folds that run on the second machine and have an epoch in the store."""
        started = [path.name.split("-")[1] for path in nodes.scratch[1].glob(locks)]
        kept = {path.parent.parent.name for path in store.glob("data/demo/experiments/demo/*/backup-*/state.npz")}
        return [fold for fold in started if f"fold-{fold}" in kept]

    wait_for(lambda: bool(saved()), running)
    (fold,) = saved()
    # Nothing of the fold is where the driver, or the other machine, could take it from.
    assert not (fresh / f"data/demo/experiments/demo/fold-{fold}").exists()
    assert not list(nodes.scratch[0].glob(f"*/data/demo/experiments/demo/fold-{fold}"))
    nodes.lose_second()
    try:
        printed = end(running)
        assert f"fold {fold}: its worker on" in printed
        assert f"fold {fold}: resumes after epoch" in printed
        assert "raylet" not in printed
        printed = end(start("predict", *options, root=fresh))
        assert "fold 1: 600 test tiles predicted" in printed
    finally:
        nodes.add_second()
    assert content(fresh) == content(serial)
    assert leftovers(fresh) == []
    assert not [path for path in store.rglob("*") if ".arriving-" in path.name or path.name.startswith("backup")]
    assert not list(store.rglob("*.parts"))

    # Another root, on another day: what the store has is not made again.
    other = tmp_path / "other"
    for name in ("raw", "tiles", "folds"):
        shutil.copytree(serial / "data/demo" / name, other / "data/demo" / name)
    printed = end(start("train", *options, root=other))
    assert "fold 0: best epoch" in printed
    assert "at once" not in printed
    assert {name: value for name, value in content(serial).items() if "/demo/test/" not in name} == content(other)


@pytest.mark.cluster
def test_finished_folds_of_several_experiments_are_not_scheduled(nodes: Nodes, serial: Path, tmp_path: Path):
    root = tmp_path / "root"
    shutil.copytree(serial, root)
    options = ("--executor", "ray", "--address", nodes.address, "--experiment", "demo,kernel,notebook", "--folds", "1")
    running = start("train", root=root, settings=LONGER + " split.folds=2")
    assert "train: up to date" in end(running)

    def train(root: Path, *options: str) -> str:
        # The last --experiment holds; the first is that of every other test.
        settings = LONGER + " input.size=32 input.fit=resize"
        command = [sys.executable, "-m", "pipeline", "train", "--retrain", *common(root, settings), *options]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=600, env=os.environ | ONE_CORE)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert "train: 3 folds" in train(root, *options)
    assert "train: up to date" in train(root, *options)
    shutil.rmtree(root / "data/demo/experiments/kernel/fold-1")
    printed = train(root, *options)
    assert "train: 1 fold, 1 at once" in printed
    assert "train: experiment demo" not in printed
    # The same command without Ray gives the same files, and the same scores but for the times.
    alone = tmp_path / "alone"
    shutil.copytree(serial, alone)
    train(alone, *options[4:])
    assert content(root) == content(alone)
    assert scores(root) == scores(alone)
    assert [row["experiment"] for row in scores(root)] == ["demo", "kernel", "notebook"]


def scores(root: Path) -> list[dict[str, str]]:
    """The rows of the leaderboard by name, without what a clock says."""
    with (root / "submissions/leaderboard.csv").open() as stream:
        rows = [{**row, "minutes": "", "tiles/s": ""} for row in csv.DictReader(stream)]
    return sorted(rows, key=lambda row: row["experiment"])


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("options", "settings", "reason"),
    [
        (["--address", "HERE"], " train.learning_rate=1e6 train.optimizer=sgd", "the loss is"),
        (["--address", "HERE", "--cpus-per-fold", "3"], "", "they have 1 cores and 0 GPUs"),
        (["--address", "127.0.0.1:1"], "", "no Ray cluster answers"),
        (["--address", "ray://127.0.0.1:1"], "", "--address auto"),
        (["--store", "nothing://x"], "", "Protocol not known"),
    ],
)
def test_an_error_in_the_cluster_is_one_line(nodes: Nodes, fresh: Path, options: list[str], settings: str, reason: str):
    options = [nodes.address if each == "HERE" else each for each in options]
    running = start("train", "--executor", "ray", *options, root=fresh, settings=LONGER + settings)
    assert reason in end(running, status=2)


@pytest.mark.cluster
def test_a_machine_that_does_not_see_the_root_is_reported(nodes: Nodes, fresh: Path):
    """As on another machine: the folder is gone by the time that the task looks for it."""
    running = start("train", "--executor", "ray", "--address", nodes.address, root=fresh)
    assert running.stdout is not None
    for line in running.stdout:
        if "at once" in line:
            (fresh / "data/demo/tiles/manifest.json").unlink()
            break
    assert "does not see the tiles" in end(running, status=2)


@pytest.mark.cluster
def test_an_interrupted_run_on_this_machine_alone_is_resumed(serial: Path, fresh: Path):
    pytest.importorskip("ray")
    options = ("train", "--executor", "ray", "--cpus-per-fold", "1")
    running = start(*options, root=fresh)
    wait_for(lambda: any((fresh / "data/demo/experiments/demo/fold-0").glob("backup-*/state.npz")), running)
    worker = int((fresh / "data/demo/experiments/demo/.locks/fold-0-train-fold-0.pid").read_text().split()[0])
    running.send_signal(signal.SIGTERM)
    assert "interrupted" in end(running, status=130)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    printed = end(start(*options, root=fresh))
    assert "fold 0: resumes after epoch" in printed
    assert {name: value for name, value in content(serial).items() if "/demo/test/" not in name} == content(fresh)
