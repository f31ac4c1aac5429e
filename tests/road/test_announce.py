"""The plan that is printed before a training: complete, true, and only where something will be trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline import artifacts
from pipeline.artifacts import backup
from pipeline.config import ClusterSettings, KaggleSettings
from pipeline.road import announce as announcing
from pipeline.road import estimate as estimating
from pipeline.road.announce import announce, gpu_line
from pipeline.stages import ROAD, Context, pretrain, split, train
from pipeline.system import backends, environment, gpu_packages, machine
from tests.hollow import fill
from tests.road.conftest import finish

Contexts = Callable[..., Context]


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of two cores without a GPU and without units for bfloat16."""
    monkeypatch.setenv(machine.CORES, "2")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr(machine, "gpus", lambda: [])
    monkeypatch.setattr(machine, "has_bfloat16_units", lambda: False)
    monkeypatch.setattr(environment, "is_from_make", lambda: False)


def prepared(context: Context) -> Context:
    """The context with tiles and folds."""
    for stage in ROAD:
        for artifact in stage.artifacts(context) if stage.shared else ():
            fill(artifact)
    context.freshness.forget()
    return context


def printed(capsys: pytest.CaptureFixture[str], *contexts: Context) -> list[str]:
    announce(contexts)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_nothing_is_printed_where_nothing_will_be_trained(context: Contexts, capsys: pytest.CaptureFixture[str]):
    finish(context())
    assert printed(capsys, context()) == []
    # Out-of-fold predictions alone are no training.
    train.out_of_fold(context().layout, 0).manifest_path.unlink()
    assert printed(capsys, context()) == []


def test_a_first_training_is_announced_whole(context: Contexts, capsys: pytest.CaptureFixture[str]):
    assert printed(capsys, prepared(context("demo", "train.epochs=4"))) == [
        "",
        "experiment demo",
        "differs in split.folds = 2 (not 3), train.epochs = 4 (not 9)",
        "dataset demo, 40 labelled and 12 test tiles",
        "device 2 processor cores; tensorflow, float32",
        "training folds 0, 1 x 4 epochs",
        "average warning: after 8 steps 78% of it are still initial weights; add --set train.ema_momentum=0.25",
        "time no estimate yet: no such fold was trained here, and the experiment's file has no measurement",
    ]


def test_an_average_that_hardly_leaves_the_initial_weights_is_announced(
    context: Contexts, capsys: pytest.CaptureFixture[str]
):
    def warnings(*settings: str) -> list[str]:
        return [line for line in printed(capsys, prepared(context("demo", *settings))) if line.startswith("average")]

    # 2 steps an epoch; 0.97 ** 98 is just above 5 %, 0.97 ** 100 below.
    assert warnings("train.epochs=49") == [
        "average warning: after 98 steps 5% of it are still initial weights; add --set train.ema_momentum=0.939"
    ]
    assert warnings("train.epochs=50") == []
    assert warnings("train.epochs=4", "train.ema_momentum=0") == []
    assert warnings("train.epochs=4", "train.ema_momentum=0.25") == []


def test_a_fold_that_will_be_made_again_says_why(context: Contexts, capsys: pytest.CaptureFixture[str]):
    finish(context("demo", "train.epochs=1"))
    shutil.rmtree(context().layout.fold_folder(1))
    lines = printed(capsys, context("demo", "train.epochs=40"))
    assert "fold 0 stale: train.epochs was 1, now 40" in lines
    assert not [line for line in lines if line.startswith("fold 1")]
    assert "device 2 processor cores; tensorflow, float32, 1,000 parameters" in lines
    # 90.5 seconds for two epochs, so 45 for one, 40 of them, two folds.
    assert "time about 1 h, by fold 0 trained here" in lines


def test_folds_that_are_made_again_for_the_same_reason_share_a_line(
    context: Contexts, capsys: pytest.CaptureFixture[str]
):
    finish(context())
    assert "folds 0, 1 stale: train.seed was 0, now 3" in printed(capsys, context("demo", "train.seed=3"))


def test_a_fold_that_goes_on_says_so(context: Contexts, capsys: pytest.CaptureFixture[str]):
    demo = prepared(context())
    state = artifacts.backup_folder(train.trained(demo.layout, 1)) / backup.STATE
    state.parent.mkdir(parents=True)
    state.write_bytes(b"of a training that was killed")
    assert "fold 1 resumes after its last finished epoch" in printed(capsys, demo)


def test_the_pretraining_is_announced_before_and_after(context: Contexts, capsys: pytest.CaptureFixture[str]):
    masked = prepared(context("demo", "train.pretrain=masked", "pretrain.views=3000"))
    artifact = pretrain.artifact(masked.layout)
    assert "pretraining 3,000 views of masked tiles, first and on this machine" in printed(capsys, masked)
    state = artifacts.backup_folder(artifact) / backup.STATE
    state.parent.mkdir(parents=True)
    state.write_bytes(b"of a pretraining that was killed")
    assert printed(capsys, masked)[5].endswith("; resumes after its last checkpoint")
    fill(artifact, views=2992)
    masked.freshness.forget()
    (line,) = [line for line in printed(capsys, masked) if line.startswith("pretraining")]
    assert line.startswith("pretraining done: 2,992 views, ")
    assert not [line for line in printed(capsys, prepared(context())) if line.startswith("pretraining")]


def test_each_experiment_that_trains_has_a_plan(context: Contexts, capsys: pytest.CaptureFixture[str]):
    finish(context())
    lines = printed(capsys, context(), context("unet"), context("kernel"))
    assert [line for line in lines if line.startswith("experiment")] == ["experiment unet", "experiment kernel"]
    assert [line for line in lines if line.startswith("training")] == [
        "training folds 0, 1 x 48 epochs",
        "training folds 0, 1 x 400 epochs, or fewer (early stopping)",
    ]
    assert "at most about" in lines[-1]


def test_a_network_of_another_experiment_is_no_training(context: Contexts, capsys: pytest.CaptureFixture[str]):
    finish(context())
    demo = context().layout.experiment_folder
    shutil.copytree(demo, demo.parent / "kernel")
    shutil.rmtree(demo)
    assert artifacts.reusable_from(train.trained(context().layout, 0)) == "kernel"
    assert printed(capsys, context()) == []


def test_before_a_training_of_hours_the_quick_experiment_is_named(
    context: Contexts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    finish(context())  # 45 seconds for an epoch
    hours = f"train.epochs={announcing.LONG // 90 + 1}"
    assert printed(capsys, context("demo", hours))[-1].startswith("sooner --experiment unet-quick takes about ")
    monkeypatch.setattr(environment, "is_from_make", lambda: True)
    assert printed(capsys, context("demo", hours))[-1].startswith("sooner EXPERIMENT=unet-quick takes about ")
    assert printed(capsys, context("demo", f"train.epochs={announcing.LONG // 90 - 5}"))[-1].startswith("time ")
    # What the same folds take with it, with its pretraining.
    known = {
        "demo": estimating.Estimate(float(announcing.LONG), "a measurement"),
        "unet-quick": estimating.Estimate(3000.0, "folds of before", pretraining=600.0),
    }
    monkeypatch.setattr(announcing, "estimate", lambda context, *_: known[context.layout.experiment])
    assert printed(capsys, context("demo", hours))[-1] == (
        "sooner EXPERIMENT=unet-quick takes about 1 h, by folds of before"
    )
    quick = prepared(context("unet-quick"))
    known["unet-quick"] = known["demo"]
    assert printed(capsys, quick)[-1].startswith("time ")


def test_long_lines_are_wrapped(context: Contexts, capsys: pytest.CaptureFixture[str]):
    many = [f"{key}=0.5" for key in ("train.learning_rate", "train.ema_momentum", "augment.flip", "train.momentum")]
    announce([prepared(context("demo", *many))])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= announcing.WIDTH
    (at,) = [number for number, line in enumerate(lines) if "differs in" in line]
    assert lines[at + 1].startswith(" " * (announcing.LABEL + 2))


def test_jobs_and_clusters_are_named(context: Contexts, capsys: pytest.CaptureFixture[str]):
    lines = printed(capsys, prepared(context("unet", jobs=8)))
    assert "training folds 0, 1 x 48 epochs, 2 at once" in lines
    assert "for one fold after the other, less for several at once" in " ".join(lines)
    lines = printed(capsys, context("unet", cluster=ClusterSettings(address="auto")))
    assert "device Ray at auto; tensorflow, auto" in lines


def test_ray_on_this_machine_takes_as_long_as_its_processes(
    context: Contexts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def times(*lines: str) -> list[str]:
        return [line.split(",")[0] for line in lines if line.startswith(("time", "sooner"))]

    local = printed(capsys, prepared(context("unet", jobs=2)))
    ray = printed(capsys, context("unet", cluster=ClusterSettings()))
    assert "device Ray on this machine; tensorflow, float32" in ray
    assert times(*ray) == times(*local)
    monkeypatch.setattr(machine, "gpus", lambda: ["0"])
    assert times(*printed(capsys, context("unet", cluster=ClusterSettings(gpus_per_fold=0)))) == times(*local)


@pytest.mark.parametrize("place", [{"kaggle": KaggleSettings()}, {"cluster": ClusterSettings(address="auto")}])
def test_folds_that_are_trained_here_say_nothing_about_other_machines(
    context: Contexts, capsys: pytest.CaptureFixture[str], place: dict[str, Any]
):
    finish(context())
    lines = printed(capsys, context("demo", f"train.epochs={announcing.LONG}", **place))
    # Nor is the quick experiment named: Kaggle refuses its pretraining.
    assert lines[-1] == "time no estimate: other machines train"


def test_a_backend_that_was_chosen_is_named_with_the_reason(
    context: Contexts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setattr(backends, "_chosen", ("", ""))
    monkeypatch.setattr(backends, "choose", lambda: ("jax", "installed with support for the GPU"))
    backends.select()
    assert "backend jax: installed with support for the GPU" in printed(capsys, prepared(context("demo")))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert "backend torch: KERAS_BACKEND names it" in printed(capsys, prepared(context("demo")))


def test_in_the_environment_of_make_the_hint_is_a_target_of_make(monkeypatch: pytest.MonkeyPatch):
    assert gpu_line(["0"], "x").endswith(" -m pip install x")
    monkeypatch.setattr(environment, "is_from_make", lambda: True)
    assert gpu_line(["0"], "x").endswith("to use it: make .venv/ready-gpu")


def test_a_gpu_that_the_backend_can_use_is_the_device(
    context: Contexts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machine, "gpus", lambda: ["0", "1"])
    monkeypatch.setattr(machine, "gpu_precision", lambda: "float16")
    monkeypatch.setattr(gpu_packages, "missing", lambda backend: "")
    lines = printed(capsys, prepared(context("unet")))
    assert "device GPUs 0, 1; tensorflow, float16" in lines
    assert not [line for line in lines if line.startswith("warning")]
    # What was measured on a processor says nothing about a GPU.
    assert lines[-1].startswith("time no estimate")


def test_a_gpu_that_the_backend_cannot_use_is_a_warning_with_a_command(
    context: Contexts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machine, "gpus", lambda: ["0"])
    monkeypatch.setattr(gpu_packages, "missing", lambda backend: f"{backend}[cuda]==1")
    lines = printed(capsys, prepared(context()), context("kernel"))
    assert "device 2 processor cores; tensorflow, float32" in lines
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert warning == lines[-1]
    assert "a GPU is here, but tensorflow is installed without CUDA and trains on the processor; to use it: " in warning
    assert warning.endswith("python -m pip install 'tensorflow[cuda]==1'")
    assert gpu_line(["0", "1"], "torch").startswith("2 GPUs are here")


# ---- The estimate ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("avx2_alone", "cost"), [(False, estimating.FLOAT32_COST), (True, estimating.AVX2_COST)], ids=["AVX-512", "AVX2"]
)
def test_an_estimate_from_the_header_is_scaled_by_epochs_tiles_and_precision(
    context: Contexts, monkeypatch: pytest.MonkeyPatch, avx2_alone: bool, cost: float
):
    monkeypatch.setattr(machine, "has_avx2_alone", lambda: avx2_alone)
    monkeypatch.setattr(
        estimating, "header", lambda name: "Measured on fold 0, 10 epochs: CV 1; 20.0 core-minutes in bfloat16."
    )
    unet = prepared(context("unet", "train.epochs=5"))
    monkeypatch.setattr(estimating, "training_tiles", lambda context: 1200.0)
    found = estimating.estimate(unet, 2, "bfloat16", gpu=False)
    assert found is not None
    # Two folds of five epochs with half of the tiles: as many core-minutes as ten epochs of one fold, over two.
    assert found.seconds == pytest.approx(600 / (2 * estimating.EFFICIENCY))
    slow = estimating.estimate(unet, 2, "float32", gpu=False)
    assert slow is not None
    assert slow.seconds == pytest.approx(found.seconds * cost)
    assert estimating.estimate(unet, 2, "bfloat16", gpu=True) is None
    assert estimating.estimate(context("unet", "network.width=64"), 2, "bfloat16", gpu=False) is None
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert estimating.estimate(unet, 2, "bfloat16", gpu=False) is None


def test_the_headers_of_measured_experiments_can_be_read(context: Contexts):
    for name in ("unet", "unet-quick", "kernel", "ladder-00-kernel"):
        assert estimating.estimate(prepared(context(name)), 1, "bfloat16", gpu=False) is not None, name
    assert estimating.estimate(prepared(context("article")), 1, "bfloat16", gpu=False) is None


@pytest.mark.parametrize(
    ("assignment", "known"),
    [
        ("train.epochs=7", True),
        ("train.learning_rate=0.01", True),
        ("train.batch_size=3", False),
        ("network.width=64", False),
        ("augment.flip=0.9", False),
    ],
)
def test_a_fold_says_nothing_about_a_training_with_other_steps(
    context: Contexts, monkeypatch: pytest.MonkeyPatch, assignment: str, known: bool
):
    finish(context())
    assert (estimating.estimate(context("demo", assignment), 1, "float32", gpu=False) is not None) == known
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert estimating.estimate(context("demo", assignment), 1, "float32", gpu=False) is None


@pytest.mark.parametrize("then", ["mixed_float16", "mixed_bfloat16"])
def test_a_fold_that_was_trained_in_another_precision_was_trained_elsewhere(context: Contexts, then: str):
    finish(context())
    for fold in (0, 1):
        artifact = train.trained(context().layout, fold)
        artifact.manifest_path.unlink()
        fill(artifact, precision=then)
    assert estimating.estimate(context(), 1, "float32", gpu=False) is None
    assert estimating.estimate(context(), 1, then.removeprefix("mixed_"), gpu=False) is not None


def test_a_fold_of_another_experiment_with_the_same_steps_counts_after_the_own_ones(context: Contexts):
    finish(context())
    demo = context().layout.experiment_folder
    shutil.copytree(demo, demo.parent / "before")
    own = estimating.estimate(context("demo", "train.epochs=3"), 1, "float32", gpu=False)
    assert own is not None
    assert own.source == "folds 0, 1 trained here"
    shutil.rmtree(demo)
    found = estimating.estimate(context("demo", "train.epochs=3"), 1, "float32", gpu=False)
    assert found == replace(own, source="folds 0, 1 of before trained here")
    assert estimating.estimate(context("demo", "network.width=64"), 1, "float32", gpu=False) is None


def test_the_header_of_a_base_counts_where_the_steps_are_the_same(context: Contexts):
    unet, student = (
        estimating.estimate(prepared(context(name)), 1, "bfloat16", gpu=False) for name in ("unet", "student")
    )
    assert student is not None
    assert student == unet
    assert student.source == "the measurement in unet.toml, on 2 cores"


def test_a_pretraining_that_is_not_done_takes_as_long_as_its_views(
    context: Contexts, capsys: pytest.CaptureFixture[str]
):
    finish(context())
    masked = context("demo", "train.pretrain=masked", "pretrain.views=3000", "train.epochs=3")
    found = estimating.estimate(masked, 1, "float32", gpu=False)
    assert found is not None
    # 3,000 views in the time of 150 epochs with 20 tiles each.
    assert found.pretraining == pytest.approx(estimating.PRETRAINING_COST * 50 * found.seconds)
    assert any("trained here; before it about" in line for line in printed(capsys, masked))
    fill(pretrain.artifact(masked.layout))
    masked.freshness.forget()
    assert estimating.estimate(masked, 1, "float32", gpu=False) == replace(found, pretraining=0.0)


def test_with_other_tiles_the_speed_counts(context: Contexts):
    finish(context())
    artifact = split.artifact(context().layout)
    with artifacts.updating(artifact) as folder:
        (folder / artifact.outputs[0]).write_text("other folds")
        artifacts.commit(artifact, {}, 0.0)
    found = estimating.estimate(context("demo", "train.epochs=3"), 1, "float32", gpu=False)
    assert found is not None
    # 20 of 40 tiles in each of three epochs, 30 tiles per second.
    assert found.seconds == pytest.approx(3 * 20 / 30)


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), ("", "none"), ([], "none"), (0, "0"), (["plain", "flip"], "['plain', 'flip']")]
)
def test_values_are_shown_in_few_words(value: object, text: str):
    assert announcing._shown(value) == text
    assert len(announcing._shown("x" * 999)) == 60
