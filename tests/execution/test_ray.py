"""Folds and predictions on Ray: the same bytes as without it, also when a worker or a machine is lost.

What needs a cluster carries the marker ``cluster`` (make test-cluster): a real one of two nodes, on this machine.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pipeline import artifacts
from pipeline.artifacts import Freshness, Layout
from pipeline.config import ClusterSettings, UserError, load
from pipeline.data import rle
from pipeline.execution import local
from pipeline.execution.backend import load_fold_module
from pipeline.execution.ray import chunks
from pipeline.execution.ray.chunks import join_chunks, split_evenly
from pipeline.execution.ray.resources import divide_cluster
from pipeline.execution.ray.tasks import SCRATCH
from pipeline.prediction import predictor as inference
from pipeline.stages import predict, train
from tests.conftest import TINY, Chain, common
from tests.test_faults import content, leftovers

LONGER = TINY.replace("train.epochs=2", "train.epochs=12").replace("survey.test=12", "survey.test=600")
"""Long enough to be killed in the middle, and with two chunks of test tiles."""
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


# ---- Without Ray ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machines", "place", "tasks", "told"),
    [
        ([(8, 0)], {}, 5, (1, 0, 8)),  # a laptop: five folds at once would leave three cores idle with more each
        ([(8, 0)], {}, 4, (2, 0, 4)),
        ([(8, 0)], {}, 1, (8, 0, 1)),
        ([(2, 0)], {}, 5, (1, 0, 2)),
        ([(0, 0), (4, 0), (4, 0)], {}, 5, (1, 0, 8)),  # a head that works on nothing
        ([(16, 0), (4, 0)], {}, 5, (4, 0, 5)),
        ([(32, 4)], {}, 5, (8, 1, 4)),  # a fold on each GPU
        ([(32, 4), (64, 0)], {}, 5, (8, 1, 4)),  # the machine without a GPU takes none
        ([(32, 4)], {"gpus_per_fold": 0.5}, 8, (4, 0.5, 8)),
        ([(32, 4)], {"gpus_per_fold": 0.0}, 8, (4, 0, 8)),
        ([(8, 0)], {"cpus_per_fold": 3}, 5, (3, 0, 2)),
    ],
)
def test_a_task_asks_for_its_share(machines: list, place: dict, tasks: int, told: tuple[int, float, int]):
    share = divide_cluster(machines, ClusterSettings(**place), tasks)
    assert (share.cpus, share.gpus, share.slots) == told


@pytest.mark.parametrize("place", [{"cpus_per_fold": 9}, {"gpus_per_fold": 1.0}])
def test_more_than_any_machine_has_is_said(place: dict):
    with pytest.raises(UserError, match="they have 4 cores and 0 GPUs; 8 cores and 0 GPUs"):
        divide_cluster([(8, 0), (4, 0)], ClusterSettings(**place), 2)


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 9])
def test_every_chunk_is_dealt_to_one_shard(shards: int):
    starts = range(0, 5 * 512, 512)
    dealt = split_evenly(starts, shards)
    assert [start for part in dealt for start in part] == list(starts)
    assert len(dealt) == min(shards, 5)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "--address", "auto"], "--address needs --executor ray"),
        (["train", "--store", "s3://x"], "--store needs --executor ray"),
        (["train", "--gpus-per-fold", "0"], "--gpus-per-fold needs --executor ray"),
        (["train", "--executor", "ray", "--jobs", "2"], "--cpus-per-fold"),
        (["train", "--executor", "ray", "--gpus-per-fold", "1.5"], "a share of one GPU"),
        (["train", "--executor", "slurm"], "slurm"),
        (["submit", "--experiment", "unet,kernel"], "split.by is coverage in kernel and depth in unet"),
        (["train", "--experiment", "unet,kernl"], "did you mean 'kernel'"),
        (["show", "x", "--experiment", "unet,kernel"], "one experiment at a time"),
    ],
)
def test_a_fault_of_the_users_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
):
    from pipeline.cli.main import main

    status = main([*arguments, "--root", str(tmp_path)])
    error = capsys.readouterr().err
    assert status == 2
    assert told in error
    assert error.count("error:") == 1
    assert not list(tmp_path.iterdir())


def test_make_hands_a_set_of_experiments_and_its_place_over():
    def make(*arguments: str) -> str:
        told = subprocess.run(
            ["make", "-n", f"PYTHON3={sys.executable}", *arguments],
            cwd=Path(__file__).parent.parent.parent,
            capture_output=True,
            text=True,
        )
        assert told.returncode == 0, told.stderr
        return " ".join(told.stdout.replace("\\", "").split())

    given = "EXPERIMENT=unet,kernel EXECUTOR=ray ADDRESS=auto STORE=s3://bucket/salt CPUS=2 GPUS=0.5"
    line = make("train", *given.split())
    for option in (
        '--experiment "$EXPERIMENT"',
        '--executor "$EXECUTOR" --address "$ADDRESS" --store "$STORE" --cpus-per-fold "$CPUS" --gpus-per-fold "$GPUS"',
    ):
        assert option in line
    assert "not cluster" in make("test")
    assert "-m cluster" in make("test-cluster")


@pytest.mark.parametrize("stage", ["train", "predict"])
def test_without_ray_a_line_says_what_to_type(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stage: str
):
    chain = Chain(root, capsys)
    assert chain("clean", stage) == 0
    monkeypatch.setitem(sys.modules, "ray", None)
    assert chain(stage, "--executor", "ray") == 2
    assert "make .venv/ready-cluster" in chain.error
    assert len(chain.error.splitlines()) == 1


def test_without_fsspec_a_line_says_what_to_type(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    chain = Chain(root, capsys)
    assert chain("clean", "train") == 0
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert chain("train", "--executor", "ray", "--store", "s3://bucket") == 2
    assert "a store needs the package fsspec" in chain.error


def test_what_is_done_needs_no_cluster(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    chain = Chain(root, capsys)
    for stage in ("train", "predict", "submit"):
        assert chain(stage, "--executor", "ray") == 0
        assert f"{stage}: up to date" in chain.printed


def test_of_a_set_of_experiments_what_is_done_is_skipped_and_a_fault_stops_only_its_own(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def stumble(layout: Layout, folds: list[int], jobs: int) -> None:
        asked.append((layout.experiment, list(folds)))
        if layout.experiment == "kernel":
            raise UserError("kernel stumbles")
        shutil.copytree(
            root / "data/demo/experiments/demo",
            layout.experiment_folder,
            dirs_exist_ok=True,
            ignore=lambda *_: ["cv.json"],
        )

    monkeypatch.setattr(local, "train", stumble)
    chain = Chain(root, capsys)
    # With these settings all three are the same experiment under different names.
    same = TINY + " " + everything(root)
    assert chain("train", experiment="kernel,demo,unet", settings=same) == 2
    assert asked == [("kernel", [0, 1]), ("unet", [0, 1])]
    assert "kernel stumbles" in chain.error
    assert "train: up to date" in chain.printed
    assert "experiment          unet" in chain.printed
    assert (root / "data/demo/experiments/unet/report.html").is_file()
    assert not (root / "data/demo/experiments/kernel/report.html").exists()


def everything(root: Path) -> str:
    """All settings of the finished experiment as assignments."""
    import tomllib

    read = tomllib.loads((root / "data/demo/experiments/demo/config.toml").read_text())
    return " ".join(
        f"{section}.{key}={json.dumps(value, separators=(',', ':'))}"
        for section, values in read.items()
        for key, value in values.items()
        if value != ""
    )


@pytest.fixture
def chunks_of_five(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (artifacts, chunks, inference):
        monkeypatch.setattr(module, "CHUNK", 5)


def test_chunks_together_are_what_one_process_writes(root: Path, chunks_of_five: None):
    layout = Layout(root, "demo", "demo", load("demo", TINY.split()))
    work, made = load_fold_module(), []
    work.predict_test(layout, 0)
    whole = predict.artifact(layout, 0).folder / "fold-0.npy"
    before, fingerprint = whole.read_bytes(), Freshness().manifest(predict.artifact(layout, 0)).fingerprint  # type: ignore[union-attr]
    whole.unlink()
    work.predict_test_parts(layout, 0, (5, 10), Freshness(), lambda part, tiles: made.append(tiles))
    with pytest.raises(UserError, match="from tile 0: is missing"):
        join_chunks(predict.task(layout, 0), range(0, 12, 5))
    work.predict_test_parts(layout, 0, (0, 5, 10), Freshness(), lambda part, tiles: made.append(tiles))
    assert made == [5, 2, 5, 5, 2]
    part = predict.task(layout, 0).part(5).folder / "5.npy"
    kept = part.read_bytes()
    part.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(UserError, match=r"from tile 5: 5[.]npy has other content"):
        join_chunks(predict.task(layout, 0), range(0, 12, 5))
    assert not Freshness().state(predict.task(layout, 0).part(5)).done
    work.predict_test_parts(layout, 0, (5,), Freshness(), lambda part, tiles: None)
    assert join_chunks(predict.task(layout, 0), range(0, 12, 5)) == 12
    assert whole.read_bytes() == before
    assert Freshness().manifest(predict.artifact(layout, 0)).fingerprint == fingerprint  # type: ignore[union-attr]
    assert not part.parent.exists()


def test_chunks_of_other_weights_do_not_count(root: Path, chunks_of_five: None):
    layout = Layout(root, "demo", "demo", load("demo", TINY.split()))
    load_fold_module().predict_test_parts(layout, 0, (0,), Freshness(), lambda part, tiles: None)
    assert Freshness().state(predict.task(layout, 0).part(0)).done
    manifest = artifacts.read_manifest(train.trained(layout, 0).manifest_path)
    assert manifest is not None
    artifacts.write_manifest(train.trained(layout, 0).manifest_path, msgspec.structs.replace(manifest, fingerprint="0"))
    assert Freshness().state(predict.task(layout, 0).part(0)).why == "train fold 0 has changed"


# ---- With a cluster -------------------------------------------------------------------------------------------------


class Nodes:
    """A cluster of two nodes with one core each, and scratch folders of their own."""

    def __init__(self, scratch: Path) -> None:
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self.scratch = [scratch / "node-0", scratch / "node-1"]
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "include_dashboard": False,
                "object_store_memory": 80 * 2**20,
                "env_vars": {SCRATCH: str(self.scratch[0])},
            },
        )
        self._second: Any = None
        self.add_second()
        self.address = self._cluster.address

    def add_second(self) -> None:
        env = {SCRATCH: str(self.scratch[1])}
        self._second = self._cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20, env_vars=env)

    def lose_second(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)

    def shutdown(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    pytest.importorskip("ray")
    made = Nodes(tmp_path_factory.mktemp("scratch"))
    yield made
    made.shutdown()


def begin(*arguments: str, root: Path, settings: str = LONGER) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments, *common(root, settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ONE_CORE,
        cwd=Path(__file__).parent.parent.parent,
    )


def end(running: subprocess.Popen[str], status: int = 0) -> str:
    printed, error = running.communicate(timeout=600)
    assert running.returncode == status, printed + error
    assert "Traceback" not in error
    if status:
        lines = [line for line in error.splitlines() if line.strip()]
        assert len(lines) == 1, error
        return lines[0]
    return printed


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with all folds trained and the test tiles predicted, in turn, on one core."""
    root = tmp_path_factory.mktemp("serial")
    end(begin("predict", root=root))
    return root


@pytest.fixture
def fresh(serial: Path, tmp_path: Path) -> Path:
    """A root folder with the tiles and the split alone."""
    for name in ("raw", "tiles", "folds"):
        shutil.copytree(serial / "data/demo" / name, tmp_path / "root/data/demo" / name)
    return tmp_path / "root"


def files(root: Path) -> set[str]:
    """Every file of a root folder but its locks."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts}


def wait_for(what: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not what():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.cluster
def test_a_killed_worker_costs_nothing_that_was_saved(
    nodes: Nodes, serial: Path, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    experiment = fresh / "data/demo/experiments/demo"
    running = begin("train", "--executor", "ray", "--address", nodes.address, root=fresh)
    wait_for(lambda: any((experiment / "fold-1").glob("backup-*/state.npz")), running)
    os.kill(int((experiment / ".locks/fold-1-train-fold-1.pid").read_text().split()[0]), signal.SIGKILL)
    printed = end(running)
    assert "train: 2 folds, 2 at once, 1 core each" in printed
    assert "fold 1: its worker on" in printed
    assert "fold 1: goes on after epoch" in printed
    assert "fold 0: its worker" not in printed
    # The lines of a run without Ray: each epoch of each fold once, and what came of it.
    for fold in (0, 1):
        assert f"fold {fold}: best epoch" in printed
        assert f"fold {fold}  epoch  12/12" in printed
    assert "ETA" in printed
    assert "CV (cross-fitted)" in printed

    # Without an address of its own, ``auto`` finds the cluster that this machine belongs to.
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    printed = end(begin("predict", "--executor", "ray", "--address", "auto", root=fresh))
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
        end(begin("submit", root=each, settings=settings))
    assert submitted(fresh) == submitted(alone)
    ids, texts = zip(*(line.split(",") for line in submitted(fresh).decode().splitlines()[1:]), strict=True)
    assert len({*ids}) == 600
    assert 0.1 < rle.decode(texts).mean() < 0.9


def submitted(root: Path) -> bytes:
    return (root / "submissions/demo/demo.csv").read_bytes()


@pytest.mark.cluster
def test_a_lost_machine_costs_nothing_that_is_in_the_store(nodes: Nodes, serial: Path, fresh: Path, tmp_path: Path):
    store = tmp_path / "store"
    options = ("--executor", "ray", "--address", nodes.address, "--store", store.as_uri())
    running = begin("train", *options, root=fresh)
    locks = "*/data/demo/experiments/demo/.locks/fold-*-train-fold-*.pid"

    def saved() -> list[str]:
        """Folds that run on the second machine and have an epoch in the store."""
        begun = [path.name.split("-")[1] for path in nodes.scratch[1].glob(locks)]
        kept = {path.parent.parent.name for path in store.glob("data/demo/experiments/demo/*/backup-*/state.npz")}
        return [fold for fold in begun if f"fold-{fold}" in kept]

    wait_for(lambda: bool(saved()), running)
    (fold,) = saved()
    # Nothing of the fold is where the driver, or the other machine, could take it from.
    assert not (fresh / f"data/demo/experiments/demo/fold-{fold}").exists()
    assert not list(nodes.scratch[0].glob(f"*/data/demo/experiments/demo/fold-{fold}"))
    nodes.lose_second()
    try:
        printed = end(running)
        assert f"fold {fold}: its worker on" in printed
        assert f"fold {fold}: goes on after epoch" in printed
        assert "raylet" not in printed
        printed = end(begin("predict", *options, root=fresh))
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
    printed = end(begin("train", *options, root=other))
    assert "fold 0: best epoch" in printed
    assert "at once" not in printed
    assert {name: told for name, told in content(serial).items() if "/demo/test/" not in name} == content(other)


@pytest.mark.cluster
def test_of_a_set_of_experiments_what_is_done_is_not_scheduled(nodes: Nodes, serial: Path, tmp_path: Path):
    root = tmp_path / "root"
    shutil.copytree(serial, root)
    options = ("--executor", "ray", "--address", nodes.address, "--experiment", "demo,kernel,notebook", "--folds", "1")
    running = begin("train", root=root, settings=LONGER + " split.folds=2")
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
    ("options", "settings", "told"),
    [
        (["--address", "HERE"], " train.learning_rate=1e6 train.optimizer=sgd", "the loss is"),
        (["--address", "HERE", "--cpus-per-fold", "3"], "", "they have 1 cores and 0 GPUs"),
        (["--address", "127.0.0.1:1"], "", "no Ray cluster answers"),
        (["--address", "ray://127.0.0.1:1"], "", "--address auto"),
        (["--store", "nothing://x"], "", "Protocol not known"),
    ],
)
def test_a_fault_in_the_cluster_is_one_line(nodes: Nodes, fresh: Path, options: list[str], settings: str, told: str):
    options = [nodes.address if each == "HERE" else each for each in options]
    assert told in end(begin("train", "--executor", "ray", *options, root=fresh, settings=LONGER + settings), status=2)


@pytest.mark.cluster
def test_a_machine_that_does_not_see_the_root_is_said(nodes: Nodes, fresh: Path):
    """As on another machine: the folder is gone by the time that the task looks for it."""
    running = begin("train", "--executor", "ray", "--address", nodes.address, root=fresh)
    assert running.stdout is not None
    for line in running.stdout:
        if "at once" in line:
            (fresh / "data/demo/tiles/manifest.json").unlink()
            break
    assert "does not see the tiles" in end(running, status=2)


@pytest.mark.cluster
def test_this_machine_alone_interrupted_and_gone_on(serial: Path, fresh: Path):
    pytest.importorskip("ray")
    options = ("train", "--executor", "ray", "--cpus-per-fold", "1")
    running = begin(*options, root=fresh)
    wait_for(lambda: any((fresh / "data/demo/experiments/demo/fold-0").glob("backup-*/state.npz")), running)
    worker = int((fresh / "data/demo/experiments/demo/.locks/fold-0-train-fold-0.pid").read_text().split()[0])
    running.send_signal(signal.SIGTERM)
    assert "interrupted" in end(running, status=130)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    printed = end(begin(*options, root=fresh))
    assert "fold 0: goes on after epoch" in printed
    assert {name: told for name, told in content(serial).items() if "/demo/test/" not in name} == content(fresh)


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
def test_a_mirror_is_never_without_what_its_files_name(tmp_path: Path):
    pytest.importorskip("fsspec")
    from pipeline.artifacts.remote import Store

    here, there = tmp_path / "here", tmp_path / "there"
    (here / "backup").mkdir(parents=True)
    store = Store(there.as_uri(), here)
    (here / "backup/best-0.npz").write_text("best 0")
    time.sleep(0.02)
    (here / "backup/state.npz").write_text("state 0")
    (here / "backup/.state.npz.writing-1.npz").write_text("half")
    store.mirror(here / "backup")
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


@pytest.mark.slow
def test_a_set_of_experiments_on_this_machine_without_ray(root: Path, capsys: pytest.CaptureFixture[str]):
    chain = Chain(root, capsys)
    assert chain("predict", experiment="demo,kernel") == 0
    assert "train: experiment kernel" in chain.printed
    assert "train: experiment demo" not in chain.printed
    assert (root / "data/demo/experiments/kernel/test/fold-1.npy").is_file()
    assert np.load(root / "data/demo/experiments/kernel/test/fold-1.npy").shape == (12, 101, 101)
