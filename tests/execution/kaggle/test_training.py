"""Folds in kernels that seem to train: found, pushed, waited for and fetched, whatever happens meanwhile."""

from __future__ import annotations

import base64
import io
import lzma
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import artifacts
from pipeline.config import KaggleSettings
from pipeline.execution.kaggle import api, script
from pipeline.execution.kaggle.api import KernelApi
from pipeline.execution.kaggle.kernel import ERROR, STOPPED
from pipeline.stages import prepare, split
from tests.conftest import held_elsewhere
from tests.execution.kaggle.helpers import Home
from tests.hollow import fill
from tests.kaggle_kernels import STREAM, Kernels, Run, results
from tests.kaggle_server import COMPETITION, SECRET, Kaggle


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_one_private_kernel_trains_all_folds_and_its_artifacts_are_put_in_place(home: Home, kernels: Kernels):
    printed = home.train()
    assert home.done() == [0, 1, 2]
    (run,) = kernels.pushed
    assert run.job["folds"] == [0, 1, 2]
    assert run.asked["isPrivate"]
    assert run.asked["enableGpu"]
    assert run.asked["enableInternet"]
    assert run.asked["machineShape"] == "NvidiaTeslaT4"
    assert run.asked["competitionDataSources"] == [COMPETITION]
    assert [line.split(";")[0] for line in printed.splitlines() if line.startswith("kernel")] == [
        f"kernel {run.ref} (folds 0, 1, 2): {name}" for name in ("queued", "running", "complete")
    ]
    assert printed.count("epoch   1/48") == 3
    assert printed.count("out-of-fold score 0.6500") == 3
    assert not list(home.root.rglob("*arriving*"))


def test_what_is_done_is_not_trained_again(home: Home, kernels: Kernels):
    for artifact in home.trained(1):
        fill(artifact)
    assert "fold 1: best epoch 1" in home.train()
    assert [run.job["folds"] for run in kernels.pushed] == [[0, 2]]
    home.train()
    assert len(kernels.pushed) == 1


def test_predictions_come_from_the_kernel_that_trained(home: Home, kernels: Kernels):
    home.train()
    printed = home.predict()
    assert home.predicted() == [0, 1, 2]
    assert printed.count("test tiles predicted at Kaggle") == 3
    assert len(kernels.pushed) == 1


def test_a_fold_of_this_machine_is_predicted_here(home: Home, kernels: Kernels, monkeypatch: pytest.MonkeyPatch):
    predicted: list[int] = []
    monkeypatch.setattr("pipeline.execution.local.predict", lambda tasks: predicted.extend(t.fold for t in tasks))
    home.train(0)
    for artifact in home.trained(1):
        fill(artifact)
    assert "predicting on this machine" in home.predict(0, 1)
    assert predicted == [1]


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_killed_command_finds_its_kernel(
    home: Home, kernels: Kernels, monkeypatch: pytest.MonkeyPatch, listed: bool, recorded: bool
):
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.execution.kaggle.training.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            home.train()
    assert home.done() == []
    kernels.listed = listed
    if not recorded:
        shutil.rmtree(home.layout.experiment_folder / "kaggle")
    if listed or recorded:
        home.train()
        assert len(kernels.pushed) == 1
        assert home.done() == [0, 1, 2]


def test_a_command_killed_before_its_kernel_was_pushed_pushes_it(
    home: Home, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(KernelApi, "push", interrupt)
        with pytest.raises(KeyboardInterrupt):
            home.train()
    assert list((home.layout.experiment_folder / "kaggle").glob("*.json"))
    home.train()
    assert len(kernels.pushed) == 1
    assert home.done() == [0, 1, 2]


def test_a_command_killed_right_after_its_kernel_was_pushed_waits_for_it(
    home: Home, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
):
    push = KernelApi.push

    def killed(*arguments: object) -> None:
        push(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KernelApi, "push", killed)
        with pytest.raises(KeyboardInterrupt):
            home.train()
    kernels.listed = False
    home.train()
    assert len(kernels.pushed) == 1
    assert home.done() == [0, 1, 2]


def test_a_command_killed_while_it_fetches_fetches_the_rest(
    home: Home, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
):
    from pipeline.execution.kaggle import fetch

    place, placed = fetch._place, list[bool]()

    def killed(*arguments: object) -> bool:
        if len(placed) == 3:  # the second fold's network is in place, and its predictions are not
            raise KeyboardInterrupt
        placed.append(place(*arguments))  # type: ignore[arg-type]
        return placed[-1]

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "_place", killed)
        with pytest.raises(KeyboardInterrupt):
            home.train()
    assert home.done() == [0]
    # Only the out-of-fold tiles of fold 1 are left, which need no kernel.
    completed: list[int] = []
    monkeypatch.setattr("pipeline.execution.local.train", lambda tasks: completed.extend(t.fold for t in tasks))
    home.train()
    assert completed == [0, 1]
    assert home.done() == [0, 2]
    assert len(kernels.pushed) == 1
    assert not list(home.root.rglob("*arriving*"))


def test_folds_asked_for_later_get_a_kernel_of_their_own(home: Home, kernels: Kernels):
    home.train(0)
    home.train()
    assert [run.job["folds"] for run in kernels.pushed] == [[0], [1, 2]]
    assert home.done() == [0, 1, 2]


def test_folds_are_split_over_kernels_and_wait_where_kaggle_runs_no_more(home: Home, kernels: Kernels):
    busy = {"error": "Maximum batch GPU session count of 2 reached."}
    work = kernels.work

    def refuse_the_next(run: Run) -> None:
        work(run)
        if len(kernels.pushed) == 1:
            kernels.refusals.append(busy)

    kernels.work = refuse_the_next
    home.train(place=KaggleSettings(folds_per_kernel=1))
    assert [run.job["folds"] for run in kernels.pushed] == [[0], [1], [2]]
    assert home.done() == [0, 1, 2]


def test_what_a_kernel_has_no_time_for_the_next_one_continues(home: Home, far: Home, kernels: Kernels):
    def work(run: Run) -> None:
        folds = run.job["folds"]
        run.files = results(far.root, run, folds[0])
        if folds[1:]:
            run.lines = [f"fold {folds[1]}  epoch  30/48  loss 0.5", f"{STOPPED}no time left"]
            run.files[f"started-fold-{folds[1]}.zip"] = b"its backup"

    kernels.work = work
    home.train()
    assert home.done() == [0, 1, 2]
    assert [run.job["folds"] for run in kernels.pushed] == [[0, 1, 2], [1, 2], [2]]
    assert [len(run.asked.get("kernelDataSources", [])) for run in kernels.pushed] == [0, 1, 2]
    assert kernels.pushed[1].job["sources"] == [kernels.pushed[0].slug]


def test_a_kernel_without_time_for_one_epoch_is_one_line(home: Home, kernels: Kernels):
    kernels.work = lambda run: run.lines.append(f"{STOPPED}no time left")
    assert "not even one epoch" in home.refused()
    assert len(kernels.pushed) == 1


def test_a_failed_kernel_does_not_count_once_a_later_one_trains_its_folds(
    home: Home, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
):
    work = kernels.work
    kernels.work = lambda run: setattr(run, "statuses", ["ERROR"])
    home.refused()
    kernels.work = work
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.execution.kaggle.training.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            home.train()
    shutil.rmtree(home.layout.experiment_folder / "kaggle")
    home.train()
    assert home.done() == [0, 1, 2]
    assert len(kernels.pushed) == 2


# ---- What goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (
            {"error": "Maximum weekly GPU quota of 30.00 hours reached."},
            "command again after Saturday, 03 Jan",
        ),
        ({"error": "Maximum batch GPU session count of 2 reached."}, "as many kernels run as Kaggle allows"),
        (
            {"error": "Phone verification is required to use a GPU"},
            "verify your phone number on https://www.kaggle.com",
        ),
        ({"invalidCompetitionSources": [COMPETITION]}, "accept the competition's rules on https://www.kaggle.com/comp"),
        ({"code": 403, "message": "Forbidden"}, "verify your phone number"),
        ({"code": 401, "message": "Unauthenticated"}, "does not accept these credentials"),
        ({"error": "Source is too large"}, "remove large files"),
        ({"error": "Something new"}, "Kaggle says: Something new"),
    ],
)
def test_a_kernel_that_kaggle_refuses_is_one_line_and_the_next_command_pushes_it(
    home: Home, kernels: Kernels, answer: dict[str, object], advice: str
):
    kernels.refusals = [answer]
    assert advice in home.refused()
    home.train()
    assert home.done() == [0, 1, 2]


@pytest.mark.parametrize(
    ("lines", "message", "advice"),
    [
        ([f"{ERROR}out of memory"], "", 'SET="train.batch_size=4"'),
        (["OOM when allocating tensor"], "", 'SET="train.batch_size=4"'),
        ([], "Your notebook tried to allocate more memory than is available. It has restarted.", "train.batch_size"),
        ([f"{ERROR}packages cannot be installed: no internet"], "", "verify your phone number"),
        ([f"{ERROR}no GPU: Kaggle gave this kernel none"], "", "ACCELERATOR=none"),
        ([f"{ERROR}the competition's files are not mounted: its rules are not accepted"], "", "accept the competition"),
        ([f"{ERROR}prepare: other tiles than at home"], "", "leave EXECUTOR=kaggle out"),
        (
            ["one", "two", "three", "ValueError: four"],
            "",
            "failed (two | three | ValueError: four): see its log",
        ),
        ([], "", "it ended without a result"),
    ],
)
def test_a_kernel_that_fails_is_one_line_and_the_next_command_starts_another(
    home: Home, kernels: Kernels, lines: list[str], message: str, advice: str
):
    work = kernels.work

    def fail(run: Run) -> None:
        run.statuses, run.lines, run.message = ["ERROR"], lines, message

    kernels.work = fail
    line = home.refused()
    assert advice in line
    assert kernels.pushed[0].ref in line
    kernels.work = work
    home.train()
    assert home.done() == [0, 1, 2]
    assert len(kernels.pushed) == 2


def test_a_kernel_that_failed_while_nobody_waited_is_reported_first(
    home: Home, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.execution.kaggle.training.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            home.train()
    kernels.pushed[0].statuses, kernels.pushed[0].files = ["ERROR"], {}
    assert "failed" in home.refused()
    assert len(kernels.pushed) == 1


def test_folds_of_a_failed_kernel_that_are_done_are_fetched(home: Home, far: Home, kernels: Kernels):
    def fail(run: Run) -> None:
        run.statuses, run.lines = ["ERROR"], [f"{ERROR}out of memory"]
        run.files = results(far.root, run, 0)

    kernels.work = fail
    assert "out of memory" in home.refused()
    assert home.done() == [0]


def test_a_cancelled_kernel_is_one_line(home: Home, kernels: Kernels):
    def cancel(run: Run) -> None:
        run.statuses = ["RUNNING", "CANCEL_ACKNOWLEDGED"]

    kernels.work = cancel
    assert "it was cancelled" in home.refused()


def test_a_kernel_that_was_removed_is_one_line(home: Home, kernels: Kernels, kaggle: Kaggle):
    kaggle.services["GetKernelSessionStatus"] = lambda body: {"code": 404, "message": "Not found"}
    assert "gone from Kaggle" in home.refused()


def cut(content: bytes) -> bytes:
    return content[:-100]


def flip(content: bytes) -> bytes:
    """Change the network and the checksum of the zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(stream, "w") as damaged:
        for name in archive.namelist():
            damaged.writestr(name, b"contend" if "weights" in name else archive.read(name))
    return stream.getvalue()


@pytest.mark.parametrize("damage_zip", [cut, flip])
def test_artifacts_that_arrive_damaged_are_fetched_again(
    home: Home, kernels: Kernels, damage_zip: Callable[[bytes], bytes]
):
    work = kernels.work

    def damage(run: Run) -> None:
        work(run)
        run.files["train-fold-1.zip"] = damage_zip(run.files["train-fold-1.zip"])

    kernels.work = damage
    assert "train-fold-1.zip arrived damaged" in home.refused()
    assert home.done() == [0]
    work(kernels.pushed[0])
    home.train()
    assert home.done() == [0, 1, 2]
    assert len(kernels.pushed) == 1


def test_artifacts_of_other_tiles_are_not_taken(home: Home, far: Home, kernels: Kernels):
    tiles = prepare.artifact(far.layout)
    (tiles.folder / "train.csv").write_bytes(b"others")
    artifacts.commit(tiles, {"train": 40, "test": 12}, 0.0)
    fill(split.artifact(far.layout))
    far.finish()
    line = home.refused()
    assert "of other tiles or settings" in line
    assert home.done() == []


def test_the_network_may_be_lost_while_a_command_waits(home: Home, kernels: Kernels, kaggle: Kaggle):
    answers = iter([502, 429, 500])
    status = kaggle.services["GetKernelSessionStatus"]

    def sometimes(body: dict[str, object]) -> dict[str, object]:
        if (code := next(answers, 0)) and kernels.runs:
            return {"code": code, "message": "not now"}
        return status(body)

    kaggle.services["GetKernelSessionStatus"] = sometimes
    assert "trying again" in home.train()
    assert home.done() == [0, 1, 2]


def test_a_network_that_stays_lost_is_one_line_and_nothing_is_lost(home: Home, kernels: Kernels, kaggle: Kaggle):
    status = kaggle.services["GetKernelSessionStatus"]
    kaggle.services["GetKernelSessionStatus"] = lambda body: {"code": 503, "message": "down"}
    line = home.refused()
    assert "the kernels go on at Kaggle, and the same command waits for them again" in line
    kaggle.services["GetKernelSessionStatus"] = status
    home.train()
    assert home.done() == [0, 1, 2]
    assert len(kernels.pushed) == 1


def test_a_log_that_does_not_arrive_stops_nothing(
    home: Home, kernels: Kernels, kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(api, "STREAM_SECONDS", 0.1)
    kaggle.stall[STREAM] = 60
    home.train()
    assert home.done() == [0, 1, 2]


def test_no_credentials_are_one_line_before_anything_is_pushed(
    home: Home, kernels: Kernels, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    assert "no Kaggle credentials" in home.refused()
    assert not kernels.pushed


def test_a_kernel_of_another_user_is_not_pushed_again(home: Home, kernels: Kernels):
    kernels.work = lambda run: setattr(run, "statuses", ["ERROR"])
    home.refused()
    (record,) = (home.layout.experiment_folder / "kaggle").glob("*.json")
    record.write_text(record.read_text().replace("somebody/", "another/"))
    line = home.refused()
    assert "kernels of the user another" in line
    assert "signed in as somebody" in line
    assert len(kernels.pushed) == 1


def test_two_commands_do_not_push_the_same_folds(home: Home, kernels: Kernels):
    with held_elsewhere(home.trained(1)[0]):
        assert "is making it right now" in home.refused()
    assert not kernels.pushed


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("network.weights=/home/me/weights.h5", "this file is not at Kaggle"),
    ],
)
def test_settings_that_do_not_work_at_kaggle_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kernels: Kernels, assignment: str, message: str
):
    home = Home(tmp_path / "other", capsys, ("network.encoder=EfficientNetV2B0", assignment)).prepare()
    assert message in home.refused()
    assert not kernels.pushed


def test_no_secret_is_in_a_kernel(home: Home, kernels: Kernels):
    home.train()
    text = kernels.pushed[0].asked["text"]
    payload = base64.b85decode("".join(text.rpartition(', """')[2].partition('"""')[0].split()))
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        packed = [archive.read(name) for name in archive.namelist()]
    assert len(packed) == 4
    for content in (text.encode(), lzma.decompress(packed[0]), *packed[1:]):
        assert SECRET.encode() not in content
        assert str(home.root).encode() not in content
    assert len(text) < script.LARGEST / 2
