"""What is left to do: which stages of which experiments are not done, and why.

A plan is computed from the artifacts on disk alone and changes nothing, so it can be shown before any work starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from pipeline.artifacts import Artifact, Layout, State
from pipeline.road import select
from pipeline.stages import ROAD, Context, Stage, get_stage, train

TRAIN = get_stage("train")
SCORING = (get_stage("validate"), get_stage("report"))
"""Stages whose result is one for all folds of an experiment, so that a run on fewer folds would replace it."""


@dataclass(frozen=True)
class Goal:
    """An experiment, or a blend, and the stages that a command wants done for it."""

    context: Context
    stages: tuple[Stage, ...]
    """In the order of the road."""
    all_trained: bool = False
    """Validate and report every fold that is trained, not only those that the command is about."""
    for_student: bool = False
    """Whether the command needs it only because it is the teacher of another experiment."""

    def at(self, current: Stage) -> Context:
        """The context in which a stage runs."""
        return self.scored if current in SCORING else self.context

    @property
    def scored(self) -> Context:
        """The context with the folds that are validated and reported."""
        return trained_folds(self.context) if self.all_trained else self.context


@dataclass(frozen=True)
class Step:
    """A stage that has work, and the goals that need it."""

    stage: Stage
    goals: tuple[Goal, ...]

    @property
    def contexts(self) -> list[Context]:
        return [goal.at(self.stage) for goal in self.goals]

    @property
    def pending(self) -> list[tuple[Artifact, State]]:
        """The artifacts to make, and why."""
        return [
            (artifact, context.freshness.state(artifact))
            for context in self.contexts
            for artifact in context.pending(self.stage)
        ]


def plan(goals: Sequence[Goal]) -> list[Step]:
    """The steps that are left, in the order in which they run.

    Args:
        goals: experiments, teachers before their students, then blends of them. The stages that all experiments share
            come first. Then each experiment is finished before the next one starts, except on a cluster, which gets the
            folds of all experiments at once, those of students after their teachers'. Blends come last.
    """
    shared = [current for current in ROAD if current.shared]
    steps = [step for current in shared if (step := _step(current, goals))]
    for group in groups(goals):
        steps += [step for current in ROAD if not current.shared and (step := _step(current, group))]
    return steps


def groups(goals: Sequence[Goal]) -> list[list[Goal]]:
    """Goals that run at the same time: on a cluster all experiments of a generation, otherwise each alone.

    A student is of the generation after its teachers'. Each blend is alone.
    """
    experiments = [goal for goal in goals if not goal.context.layout.is_blend]
    blends = [[goal] for goal in goals if goal.context.layout.is_blend]
    if experiments and experiments[0].context.cluster is not None:
        generations = groupby(sorted(experiments, key=_generation_of), key=_generation_of)
        return [*(list(generation) for _, generation in generations), *blends]
    return [*([goal] for goal in experiments), *blends]


def with_teachers(goals: Sequence[Goal], stages: tuple[Stage, ...]) -> list[Goal]:
    """The goals, together with those that have the teachers of their experiments predict the test tiles.

    Args:
        goals: of experiments.
        stages: of a teacher that the command is not about.

    Returns:
        One goal for each experiment, teachers before their students.

    Raises:
        UserError: see ``select.teachers``.
    """
    found = {goal.context.layout.experiment: goal for goal in goals}
    for goal in goals:
        for teacher in select.teachers(goal.context):
            name = teacher.layout.experiment
            # A student may need fewer folds of its teacher than are trained; the teacher's score stays that of all.
            own = found.get(name) or Goal(replace(teacher, folds=()), (), all_trained=True, for_student=True)
            folds = tuple(sorted({*own.context.folds, *teacher.folds}))
            wanted = tuple(each for each in ROAD if each in own.stages or each in stages)
            found[name] = replace(own, context=replace(own.context, folds=folds), stages=wanted)
    return sorted(found.values(), key=_generation_of)


def _generation_of(goal: Goal) -> int:
    return generation(goal.context.layout)


def generation(layout: Layout) -> int:
    """0 for an experiment without teachers; for a student one more than the latest of its teachers."""
    return 1 + max(map(generation, layout.teachers)) if layout.teachers else 0


def trained_folds(context: Context) -> Context:
    """The context with every fold that has out-of-fold predictions; unchanged where there are none."""
    layout, freshness = context.layout, context.freshness
    done = [fold for fold in layout.folds if freshness.state(train.out_of_fold(layout, fold)).done]
    return replace(context, folds=tuple(done) or context.folds)


def _step(current: Stage, goals: Sequence[Goal]) -> Step | None:
    waiting = tuple(goal for goal in goals if current in goal.stages and goal.at(current).pending(current))
    return Step(current, waiting) if waiting else None
