"""The plan: what is left to do and why, from the artifacts on disk alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import Layout
from pipeline.config import ClusterSettings, UserError
from pipeline.road import plan as planning
from pipeline.road import select
from pipeline.road.plan import Goal, plan
from pipeline.road.walk import until
from pipeline.stages import ROAD, Context, get_stage, prepare, train
from tests.hollow import fill
from tests.road.conftest import finish

Contexts = Callable[..., Context]
NAMES = [stage.name for stage in ROAD if stage.name not in ("mosaic", "pretrain")]
"""Without the stages that only run on request."""


def goal(context: Context, last: str = "submit") -> Goal:
    return Goal(context, until(last))


def steps(*goals: Goal) -> list[tuple[str, list[str]]]:
    """Each step's stage and experiments."""
    return [(step.stage.name, [each.context.layout.experiment for each in step.goals]) for step in plan(goals)]


def files(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_with_nothing_on_disk_every_stage_is_missing_in_the_order_of_the_road(context: Contexts, tmp_path: Path):
    demo = context()
    assert steps(goal(demo)) == [(name, ["demo"]) for name in NAMES]
    assert {state.kind for step in plan([goal(demo)]) for _, state in step.pending} == {"missing"}
    assert steps(goal(demo, "split")) == [(name, ["demo"]) for name in NAMES[:3]]
    assert not [*tmp_path.iterdir()]


def test_sections_are_assembled_only_where_they_are_needed_or_asked_for(context: Contexts):
    grouped = context("demo", "split.group=mosaic")
    assert steps(goal(grouped, "split")) == [(name, ["demo"]) for name in ("download", "prepare", "mosaic", "split")]
    asked = replace(context(), asked="mosaic")
    assert steps(goal(asked, "mosaic")) == [(name, ["demo"]) for name in ("download", "prepare", "mosaic")]
    assert steps(goal(replace(context(), asked="split"), "split"))[-1] == ("split", ["demo"])
    assert "mosaic" not in dict(steps(goal(context(), "split")))
    assert steps(goal(context("demo", "submit.neighbors=true")))[2] == ("mosaic", ["demo"])
    finish(grouped)
    assert steps(goal(grouped)) == []
    # The folds of other sections are other folds.
    assert "split" in dict(steps(goal(context("demo", "split.group=mosaic", "split.mosaic_ratio=0.3"))))
    assert steps(goal(context())) != []


def test_a_network_is_pretrained_only_where_it_is_needed_or_asked_for(context: Contexts):
    masked = context("demo", "train.pretrain=masked")
    assert [name for name, _ in steps(goal(masked, "train"))] == [*NAMES[:3], "pretrain", "train"]
    asked = replace(context(), asked="pretrain")
    assert [name for name, _ in steps(goal(asked, "pretrain"))] == [*NAMES[:3], "pretrain"]
    finish(masked)
    assert steps(goal(masked)) == []

    def left(*assignments: str) -> list[str]:
        return [name for name, _ in steps(goal(context("demo", "train.pretrain=masked", *assignments), "train"))]

    assert left("pretrain.views=100") == ["pretrain", "train"]
    assert left("network.width=9") == ["pretrain", "train"]
    assert left("pretrain.layers=encoder") == left("train.seed=1") == ["train"]
    assert [name for name, _ in steps(goal(context(), "train"))] == ["train"], "the folds started from it"


def test_with_everything_done_nothing_is_left_and_nothing_is_touched(context: Contexts, tmp_path: Path):
    demo = context()
    finish(demo)
    before = files(tmp_path)
    assert plan([goal(demo)]) == []
    assert files(tmp_path) == before


def test_a_changed_setting_leaves_the_stages_that_read_it_and_says_why(context: Contexts):
    finish(context())
    changed = context("demo", "submit.min_area=7")
    found = plan([goal(changed)])
    assert [step.stage.name for step in found] == ["validate", "report", "submit"]
    ((_, state),) = found[0].pending
    assert state.why.startswith("submit.min_area was ")
    assert state.why.endswith(", now 7")
    assert [state.why for _, state in found[1].pending] == ["validate is stale"]
    longer = plan([goal(context("demo", "train.epochs=77"))])
    assert [step.stage.name for step in longer] == ["train", "validate", "report", "predict", "submit"]
    assert [artifact.name for artifact, _ in longer[0].pending] == [
        "train fold 0",
        "out-of-fold 0",
        "train fold 1",
        "out-of-fold 1",
    ]


def test_only_the_folds_that_a_command_is_about_are_in_its_plan(context: Contexts):
    demo = context()
    finish(demo)
    train.trained(demo.layout, 1).manifest_path.unlink()
    assert steps(goal(replace(demo, folds=(0,)), "train")) == []
    (step,) = plan([goal(replace(demo, folds=(0, 1)), "train")])
    assert [(artifact.name, state.kind) for artifact, state in step.pending] == [
        ("train fold 1", "missing"),
        ("out-of-fold 1", "stale"),
    ]


def test_experiments_share_the_first_stages_and_are_finished_one_after_the_other(context: Contexts):
    pair = [goal(context("demo"), "report"), goal(context("unet"), "report")]
    own = ["train", "validate", "report"]
    assert steps(*pair) == [
        *((name, ["demo", "unet"]) for name in ("download", "prepare", "split")),
        *((name, ["demo"]) for name in own),
        *((name, ["unet"]) for name in own),
    ]


def test_a_cluster_gets_the_folds_of_all_experiments_at_once(context: Contexts):
    cluster = ClusterSettings()
    pair = [goal(context("demo", cluster=cluster), "train"), goal(context("unet", cluster=cluster), "train")]
    assert steps(*pair)[3:] == [("train", ["demo", "unet"])]


def test_a_blend_whose_name_is_too_long_for_a_file_is_refused(context: Contexts, tmp_path: Path):
    member = context("demo")
    names = [f"{letter * 36}" for letter in "abcde"]
    members = [replace(member, layout=Layout(tmp_path, "demo", name, member.layout.settings)) for name in names]
    name = select.blend(members[:4], []).layout.experiment
    assert len(name) == 147
    (tmp_path / f".{name}.csv.writing-{'h' * 63}-12345678-01234567.csv").touch()
    with pytest.raises(UserError, match="would have 184 characters, more than 150: blend fewer experiments"):
        select.blend(members, [])


def test_a_blend_comes_after_its_members_and_is_stale_when_one_of_them_has_changed(context: Contexts):
    members = [context("demo"), context("unet")]
    blend = select.blend(members, [])
    blended = Goal(blend, tuple(stage for stage in ROAD if stage.blended))
    both = [*(goal(each, "predict") for each in members), blended]
    assert [name for name, _ in steps(*both)][-3:] == ["validate", "report", "submit"]
    for each in members:
        finish(each)
    for stage in blended.stages:
        for artifact in stage.artifacts(blend):
            fill(artifact)
    blend.freshness.forget()
    assert plan(both) == []
    train.out_of_fold(members[1].layout, 0).manifest_path.unlink()
    for each in (*members, blend):
        each.freshness.forget()
    assert steps(*both) == [
        ("train", ["unet"]),
        ("validate", ["unet"]),
        ("report", ["unet"]),
        *((stage.name, ["demo+unet"]) for stage in blended.stages),
    ]


def test_after_training_every_trained_fold_counts_where_that_is_asked_for(context: Contexts):
    demo = context()
    finish(demo)
    one = replace(demo, folds=(1,))
    assert steps(Goal(one, until("report"), all_trained=True)) == []
    assert [name for name, _ in steps(Goal(one, until("report")))] == ["validate", "report"]
    train.out_of_fold(demo.layout, 0).manifest_path.unlink()
    demo.freshness.forget()
    assert planning.trained_folds(demo).folds == (1,)


@pytest.mark.parametrize("damaged", ["tiles", "raw"])
def test_what_was_made_from_something_stale_is_stale(context: Contexts, damaged: str):
    demo = context()
    finish(demo)
    artifact = prepare.artifact(demo.layout)
    if damaged == "raw":
        (artifact,) = artifact.inputs
    artifact.manifest_path.unlink()
    demo.freshness.forget()
    expected = NAMES if damaged == "raw" else NAMES[1:]
    assert [name for name, _ in steps(goal(demo))] == expected


# ---- Students and their teachers ------------------------------------------------------------------------------------


def of(*names: str) -> str:
    return f"student.teachers=[{','.join(names)}]"


def test_teachers_predict_before_their_student_is_trained(context: Contexts):
    student = context("kernel", "split.by=depth", of("unet", "demo"))
    goals = planning.with_teachers([goal(student, "report")], until("predict"))
    assert [each.context.layout.experiment for each in goals] == ["demo", "unet", "kernel"]
    assert [each.for_student for each in goals] == [True, True, False]
    done = ["train", "validate", "report", "predict"]
    assert [step for step in steps(*goals) if step[0] not in ("download", "prepare", "split")] == [
        *((name, ["demo"]) for name in done),
        *((name, ["unet"]) for name in done),
        *((name, ["kernel"]) for name in done[:-1]),
    ]
    assert {each.context.layout.split_folder for each in goals} == {student.layout.split_folder}
    for each in select.teachers(student):
        finish(each)
    for planned in goals:
        planned.context.freshness.forget()
    assert steps(*goals) == [(name, ["kernel"]) for name in done[:-1]]


def test_a_teacher_that_the_command_is_about_too_is_planned_once(context: Contexts):
    cluster = ClusterSettings()
    student = replace(context("demo", of("unet")), cluster=cluster)
    teacher = replace(context("unet"), cluster=cluster, folds=(0,))
    goals = planning.with_teachers([goal(student, "report"), goal(teacher, "report")], until("predict"))
    assert [(each.context.layout.experiment, each.context.folds, each.for_student) for each in goals] == [
        ("unet", (0, 1), False),
        ("demo", (0, 1), False),
    ]
    assert [stage.name for stage in goals[0].stages][-1] == "predict"
    # On a cluster, too, the student waits for its teacher.
    assert [each for each in steps(*goals) if each[0] == "train"] == [("train", ["unet"]), ("train", ["demo"])]


def test_a_student_is_stale_when_its_teacher_has_changed_but_not_the_other_way(context: Contexts):
    student = context("demo", of("unet"))
    teacher = select.teachers(student)[0]
    for each in (teacher, student):
        finish(each)
    assert steps(goal(teacher), goal(student)) == []
    train.predicted(teacher.layout, 1).manifest_path.unlink()
    student.freshness.forget()
    state = student.freshness.state(train.trained(student.layout, 1))
    assert state.why == "unet predict fold 1 is missing"
    assert student.freshness.state(train.trained(student.layout, 0)).done
    fewer = context("demo", of("unet"), "student.fraction=0.4")
    assert fewer.freshness.state(train.trained(fewer.layout, 0)).why == "student.fraction was 0.5, now 0.4"
    alone = context("demo")
    assert "student.teachers was ['unet'], now []" in alone.freshness.state(train.trained(alone.layout, 0)).why
    # What a student would do without teachers has no effect.
    assert train.trained(context("demo", "student.fraction=0.4").layout, 0) == train.trained(alone.layout, 0)


def test_a_student_on_fewer_folds_leaves_the_score_of_all_folds_of_its_teacher(context: Contexts):
    student = context("demo", of("unet"))
    (teacher,) = select.teachers(student)
    finish(teacher)
    assert teacher.folds == (0, 1)
    goals = planning.with_teachers([goal(replace(student, folds=(0,)), "report")], until("predict"))
    assert dict(steps(*goals))["train"] == ["demo"], "the teacher has work left"
    # A fold that is missing is trained, and the score is then that of both; only the student's fold is predicted.
    for fold in (0, 1):
        train.predicted(teacher.layout, fold).manifest_path.unlink()
    train.trained(teacher.layout, 0).manifest_path.unlink()
    goals = planning.with_teachers([goal(replace(student, folds=(0,)), "report")], until("predict"))
    assert steps(*goals)[0] == ("train", ["unet"])
    fill(train.trained(teacher.layout, 0))
    fill(train.out_of_fold(teacher.layout, 0))
    goals[0].context.freshness.forget()
    scored, predicted = goals[0].at(planning.SCORING[0]), goals[0].at(get_stage("predict"))
    assert (scored.folds, predicted.folds) == ((0, 1), (0,))
