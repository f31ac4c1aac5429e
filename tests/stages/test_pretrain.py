"""The stage that pretrains the network, on a small survey: what shares its result, and what makes it stale."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline import artifacts
from pipeline.artifacts import Freshness, Layout
from pipeline.config import load
from pipeline.data.files import TRAIN_MASKS
from pipeline.execution import local, pretraining
from pipeline.execution.task import PretrainTask, TrainTask
from pipeline.stages import prepare, pretrain, train
from tests.conftest import TINY, Chain
from tests.hollow import fill
from tests.training.helpers import weights

SMALL = f"{TINY} input.fit=resize input.size=32 train.pretrain=masked pretrain.views=48"


def layout(root: Path, settings: str = SMALL) -> Layout:
    return Layout(root, "demo", "demo", load("demo", settings.split()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with tiles, folds and a pretrained network."""
    from pipeline.cli.main import main

    root = tmp_path_factory.mktemp("pretrained")
    assert main(["pretrain", "--dataset", "demo", "--root", str(root), "--set", SMALL]) == 0
    return root


@pytest.fixture
def chain(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Chain:
    shutil.copytree(made, tmp_path / "root")
    return Chain(tmp_path / "root", capsys)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainTask]:
    """The folds that would be trained; nothing is."""
    started: list[TrainTask] = []

    def interrupted(tasks: Sequence[TrainTask], jobs: int, page: object) -> None:
        started.extend(tasks)
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "train", interrupted)
    return started


def test_the_result_is_there_and_serves_all_folds_with_the_same_input_and_network(
    chain: Chain, trained: list[TrainTask], monkeypatch: pytest.MonkeyPatch
):
    folder = pretrain.artifact(layout(chain.root)).folder
    assert folder.parent == chain.root / "data/demo/pretrained"
    assert {path.name for path in folder.iterdir()} == {"history.csv", "manifest.json", "pretrained.weights.h5"}
    assert chain("pretrain", settings=SMALL) == 0
    assert chain.printed == "pretrain: up to date\n"
    # With other settings of everything that comes after it.
    others = f"{SMALL} train.loss=dice augment.flip=0.1 pretrain.layers=encoder split.seed=4"
    monkeypatch.setattr(pretraining, "pretrain", None)
    assert chain("train", "--folds", "1", settings=others) == 130
    (task,) = trained
    assert task.pretrained is not None
    assert task.pretrained.folder == folder
    assert task.pretrained in task.trained.inputs
    assert "pretraining         done: 48 views" in chain.printed


def test_status_clean_and_a_killed_run(chain: Chain):
    assert chain("status", settings=SMALL) == 0
    assert "  pretrain         done\n" in chain.printed
    assert chain("status", settings=TINY) == 0
    assert "  pretrain  " not in chain.printed
    assert chain("clean", "pretrain", settings=SMALL) == 0
    folder = pretrain.artifact(layout(chain.root)).folder
    assert not folder.exists()
    assert (chain.root / "data/demo/tiles").exists()
    state = artifacts.backup_folder(pretrain.artifact(layout(chain.root))) / "state.npz"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"of a pretraining that was killed")
    assert chain("status", settings=SMALL) == 0
    assert "pretrain         missing: started; make pretrain resumes after its last finished epoch" in chain.printed


def test_other_settings_of_it_are_another_network_and_make_the_folds_stale(chain: Chain):
    plain = layout(chain.root)

    def state(settings: str) -> tuple[str, str]:
        changed, freshness = layout(chain.root, f"{SMALL} {settings}"), Freshness()
        return freshness.state(pretrain.artifact(changed)).kind, freshness.state(train.trained(changed, 0)).kind

    fill(train.trained(plain, 0))
    assert state("") == ("done", "done")
    assert state("pretrain.layers=encoder") == ("done", "stale")
    for other in ("views=64", "block=4", "fraction=0.4", "learning_rate=0.01", "batch_size=8", "seed=1"):
        assert state(f"pretrain.{other}") == ("missing", "stale"), other
    assert state("network.width=6") == ("missing", "stale")
    assert state("train.precision=bfloat16")[0] == "missing"
    assert state("train.pretrain=none")[1] == "stale"
    changed = layout(chain.root, f"{SMALL} pretrain.views=64")
    assert Freshness().state(train.trained(changed, 0)).why == "pretrain.views was 48, now 64"


def test_masks_have_no_part_in_it(made: Path, tmp_path: Path):
    root = tmp_path / "root"
    shutil.copytree(made, root)
    masks = np.load(root / "data/demo/tiles" / TRAIN_MASKS, allow_pickle=False)
    np.save(root / "data/demo/tiles" / TRAIN_MASKS, 1 - masks, allow_pickle=False)
    there, here = pretrain.artifact(layout(made)), pretrain.artifact(layout(root))
    shutil.rmtree(here.folder)
    pretraining.pretrain(PretrainTask(layout(root).settings, prepare.artifact(layout(root)), here))
    expected, found = weights(there.folder, there.outputs[0]), weights(here.folder, here.outputs[0])
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_in_a_process_of_its_own_it_ends_alike(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    root = tmp_path / "root"
    shutil.copytree(made, root)
    there, here = pretrain.artifact(layout(made)), pretrain.artifact(layout(root))
    shutil.rmtree(here.folder)
    task = PretrainTask(layout(root).settings, prepare.artifact(layout(root)), here)
    pretraining.pretrain(task, own_process=True)
    assert "pretrain: 48 views of 52 tiles, loss " in capfd.readouterr().out
    assert Freshness().state(here).done
    expected, found = weights(there.folder, there.outputs[0]), weights(here.folder, here.outputs[0])
    # The process may have more threads than this one: sums are added in another order, and the first steps of AdamW
    # turn the sign of a tiny gradient into a whole step.
    differences = np.concatenate([np.abs(expected[name] - found[name]).ravel() for name in expected])
    assert differences.mean() < 1e-4
