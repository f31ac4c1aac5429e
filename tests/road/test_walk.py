"""The walk: the plan is carried out, an experiment that fails does not stop the others, damage is made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline import artifacts
from pipeline.artifacts import Freshness
from pipeline.config import UserError
from pipeline.road import consent
from pipeline.road import plan as planning
from pipeline.road import walk as walking
from pipeline.road.plan import Goal
from pipeline.road.walk import MOST_RUNS, carry_out, walk
from pipeline.stages import ROAD, Context, Stage, prepare, split, train
from tests.conftest import flip_a_bit
from tests.hollow import fill
from tests.road.conftest import finish

Contexts = Callable[..., Context]


class Recorder:
    """The road with stages that make empty files and note what they made."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.before: Callable[[Stage, Context], None] = lambda stage, context: None
        self.stages = tuple(self._recorded(stage) for stage in ROAD)

    def until(self, name: str) -> tuple[Stage, ...]:
        names = [stage.name for stage in self.stages]
        return self.stages[: names.index(name) + 1]

    def _recorded(self, stage: Stage) -> Stage:
        def make(*contexts: Context) -> None:
            for context in contexts:
                self.made.append(f"{context.layout.experiment} {stage.name}")
                self.before(stage, context)
                for artifact in context.pending(stage):
                    fill(artifact)

        return replace(stage, make=make)


@pytest.fixture
def road(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(planning, "ROAD", recorder.stages)
    monkeypatch.setattr(walking, "ROAD", recorder.stages)
    recorded_train = next(stage for stage in recorder.stages if stage.name == "train")
    monkeypatch.setattr(planning, "TRAIN", recorded_train)
    monkeypatch.setattr(walking, "TRAIN", recorded_train)
    return recorder


def nothing(context: Context) -> None:
    del context


def test_every_stage_runs_once_and_then_nothing_is_left(
    road: Recorder, context: Contexts, capsys: pytest.CaptureFixture[str]
):
    finished: list[str] = []
    goal = Goal(context(), road.stages)
    walk([goal], "submit", lambda done: finished.append(done.layout.experiment))
    assert road.made == [f"demo {stage.name}" for stage in ROAD if stage.name not in ("mosaic", "pretrain")]
    assert finished == ["demo"]
    assert "up to date" not in capsys.readouterr().out
    walk([goal], "submit", nothing)
    assert len(road.made) == len(ROAD) - 2
    assert capsys.readouterr().out.splitlines() == ["submit: up to date"]


@pytest.mark.parametrize("target", ["prepare", "train", "predict"])
def test_only_the_target_is_said_to_be_up_to_date(
    road: Recorder, context: Contexts, capsys: pytest.CaptureFixture[str], target: str
):
    finish(context())
    walk([Goal(context(), road.until(target))], target, nothing)
    assert capsys.readouterr().out.splitlines() == [f"{target}: up to date"]
    assert not road.made


def test_experiments_with_the_same_network_share_one_pretraining(road: Recorder, context: Contexts):
    names = ("ladder-10-flip", "ladder-10-flip-seed1")
    goals = [Goal(context(name, "train.pretrain=masked"), road.until("train")) for name in names]
    walk(goals, "train", nothing)
    assert road.made[3:] == ["ladder-10-flip pretrain", *(f"{name} train" for name in names)]


def test_consent_is_asked_for_once_and_before_the_pretraining(
    road: Recorder, context: Contexts, monkeypatch: pytest.MonkeyPatch
):
    finish(context())
    asked: list[list[str]] = []
    monkeypatch.setattr(consent, "_ask", lambda replaced: asked.append([*road.made]))
    walk([Goal(context("demo", "train.pretrain=masked"), road.until("train"))], "train", nothing)
    assert asked == [[]]
    assert road.made == ["demo pretrain", "demo train"]


def test_what_was_asked_for_is_recorded_before_the_training(road: Recorder, context: Contexts):
    def recorded(stage: Stage, current: Context) -> None:
        if stage.name == "train":
            assert (current.layout.experiment_folder / "folds.json").read_text() == "[0,1]"
            assert (current.layout.experiment_folder / "config.toml").is_file()

    road.before = recorded
    walk([Goal(context(), road.until("train"))], "train", nothing)
    assert road.made[-1] == "demo train"


def test_the_plan_is_printed_before_finished_folds_need_consent(
    road: Recorder, context: Contexts, capsys: pytest.CaptureFixture[str]
):
    finish(context())
    with pytest.raises(UserError, match=r"RETRAIN=1"):
        walk([Goal(context("demo", "train.epochs=40"), road.until("train"))], "train", nothing)
    printed = capsys.readouterr().out
    assert "    folds 0, 1        stale: train.epochs was 9, now 40\n" in printed
    assert "  training            folds 0, 1 x 40 epochs\n" in printed
    assert not road.made


def test_an_experiment_that_fails_does_not_stop_the_others(road: Recorder, context: Contexts):
    def fail(stage: Stage, current: Context) -> None:
        if stage.name == "validate" and current.layout.experiment == "demo":
            raise UserError("no score")

    road.before, finished = fail, list[str]()
    goals = [Goal(context(name), road.until("report")) for name in ("demo", "unet")]
    with pytest.raises(UserError, match=r"^no score$"):
        walk(goals, "report", lambda done: finished.append(done.layout.experiment))
    assert finished == ["unet"]
    assert "demo report" not in road.made
    assert "unet report" in road.made


def test_without_tiles_no_experiment_goes_on(road: Recorder, context: Contexts):
    def fail(stage: Stage, current: Context) -> None:
        if stage.name == "prepare":
            raise UserError("no tiles")

    road.before = fail
    goals = [Goal(context(name), road.stages) for name in ("demo", "unet")]
    with pytest.raises(UserError, match=r"^no tiles$"):
        walk(goals, "submit", nothing)
    assert {made.split()[1] for made in road.made} == {"download", "prepare"}


def test_a_damaged_input_is_made_again_first(road: Recorder, context: Contexts, capsys: pytest.CaptureFixture[str]):
    demo = context()
    finish(demo)
    flip_a_bit(prepare.artifact(demo.layout).path)
    train.out_of_fold(demo.layout, 0).manifest_path.unlink()
    before = split.artifact(demo.layout).manifest_path.read_bytes()
    walk([Goal(demo, road.until("report"))], "report", nothing)
    assert road.made == ["demo prepare", "demo train"]
    printed = capsys.readouterr().out
    assert "prepare: train_images.npy has other content than its manifest says; making it again" in printed
    # The tiles have the same content as before, so the split and the score are still those of these tiles.
    assert split.artifact(demo.layout).manifest_path.read_bytes() == before


def test_files_that_never_stay_as_written_end_the_walk(road: Recorder, context: Contexts):
    demo = context()
    finish(demo)

    def spoil(stage: Stage, current: Context) -> None:
        if stage.name == "prepare":
            fill(prepare.artifact(current.layout))
            flip_a_bit(prepare.artifact(current.layout).path)
            current.freshness.forget()

    road.before = spoil
    flip_a_bit(prepare.artifact(demo.layout).path)
    train.out_of_fold(demo.layout, 0).manifest_path.unlink()
    outcome = carry_out([Goal(demo, road.until("report"))])
    assert road.made == ["demo prepare"] * MOST_RUNS
    (error,) = outcome.errors
    assert error == f"prepare demo: made {MOST_RUNS} times, and its files changed each time; check the disk"
    assert outcome.finished == ()


def test_a_stage_that_another_process_has_made_meanwhile_is_not_made_again(
    road: Recorder, context: Contexts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    demo = context()
    finish(demo)
    tiles = prepare.artifact(demo.layout)
    content = tiles.manifest_path.read_bytes()
    tiles.manifest_path.unlink()
    demo.freshness.forget()
    locked = artifacts.locked

    def waited(artifact: artifacts.Artifact) -> object:
        if artifact == tiles:
            tiles.manifest_path.write_bytes(content)
        return locked(artifact)

    monkeypatch.setattr(walking, "locked", waited)
    walk([Goal(demo, road.until("prepare"))], "prepare", nothing)
    assert not road.made
    assert "prepare: another process has made it" in capsys.readouterr().out
    assert Freshness().state(tiles).done


def test_a_student_whose_teacher_failed_is_not_trained(road: Recorder, context: Contexts):
    student = context("demo", "student.teachers=[unet]")

    def fail(stage: Stage, current: Context) -> None:
        if stage.name == "predict" and current.layout.experiment == "unet":
            raise UserError("no prediction")

    road.before, finished = fail, list[str]()
    goals = planning.with_teachers([Goal(student, road.until("report"))], road.until("predict"))
    with pytest.raises(UserError, match=r"^no prediction$"):
        walk(goals, "train", lambda done: finished.append(done.layout.experiment))
    assert finished == []
    assert "demo train" not in road.made
    road.before = lambda stage, context: None
    road.made.clear()
    walk(goals, "train", lambda done: finished.append(done.layout.experiment))
    assert finished == ["demo"]
    assert road.made == ["unet predict", "demo train", "demo validate", "demo report"]


def test_damaged_predictions_of_a_teacher_are_made_again_for_its_student(road: Recorder, context: Contexts):
    student = context("demo", "student.teachers=[unet]")
    goals = planning.with_teachers([Goal(student, road.until("report"))], road.until("predict"))
    walk(goals[:1], "predict", nothing)
    labels = train.predicted(goals[0].context.layout, 0)
    road.made.clear()

    def lose(stage: Stage, current: Context) -> None:
        if stage.name == "train" and labels.manifest_path.exists():
            labels.manifest_path.unlink()
            road.before = lambda stage, context: None
            raise UserError("the labels are damaged")

    road.before = lose
    with pytest.raises(UserError, match="damaged"):
        walk(goals, "train", nothing)
    goals[0].context.freshness.forget()
    walk(goals, "train", nothing)
    assert road.made == ["demo train", "unet predict", "demo train", "demo validate", "demo report"]
