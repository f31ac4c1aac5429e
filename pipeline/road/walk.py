"""Carry a plan out: run the stages that are not done, one after the other.

The plan is made again after each step, from what is on disk. An input that turns out to be damaged loses its manifest,
so the next plan starts with the stage that makes it.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.artifacts import check_links, discard_damaged, locked, reading_inputs
from pipeline.config import UserError
from pipeline.road import consent, select
from pipeline.road.announce import announce
from pipeline.road.plan import TRAIN, Goal, Step, groups, plan
from pipeline.road.request import request_folds, requested_folds, write_config
from pipeline.stages import ROAD, Context, Stage
from pipeline.system.progress import echo, format_duration

MOST_RUNS = 5
"""Most runs of a stage for one experiment. More than two mean that files do not stay as they were written."""


@dataclass(frozen=True)
class Outcome:
    """What came of a walk."""

    finished: tuple[Goal, ...]
    """The goals whose stages are all done."""
    ran: frozenset[str]
    """Names of the stages that had work."""
    errors: tuple[str, ...]
    """One line for each error."""


def walk(goals: Sequence[Goal], target: str, on_finished: Callable[[Context], None]) -> None:
    """Bring experiments, and blends of them, up to date. An experiment that fails stops; the others continue.

    Args:
        goals: experiments, teachers before their students, then blends of them.
        target: name of the stage that the command is about.
        on_finished: called with each goal whose stages are all done, before the next goal starts.

    Raises:
        UserError: some stages failed; the line names every error.
    """
    for goal in goals:
        for current in goal.stages:
            for artifact in current.artifacts(goal.context):
                check_links(artifact.folder)
            current.check(goal.context)
    _finish_shared(goals, target)
    training = [goal.context for goal in goals if TRAIN in goal.stages]
    announce(training)
    given = consent.check(training)
    errors: list[str] = []
    failed: set[str] = set()
    for group in groups(goals):
        blend = group[0].context.layout.is_blend
        if blend and errors:
            break
        possible = [goal for goal in group if not _teachers(goal) & failed]
        # A blend reads its members' predictions, and a student its teachers': a damaged one is made again first.
        read = {name for goal in possible for name in _teachers(goal)}
        others = [each for each in goals if each not in group and not each.context.layout.is_blend]
        before = [each for each in others if blend or each.context.layout.experiment in read]
        outcome = carry_out([*before, *possible], given)
        errors += outcome.errors
        done = [goal for goal in possible if goal in outcome.finished and not goal.for_student]
        failed |= {goal.context.layout.experiment for goal in group if goal not in outcome.finished}
        own = {current.name for current in group[0].stages if not current.shared}
        if done and target in own - outcome.ran:
            echo(f"{target}: up to date")
        for goal in done:
            on_finished(goal.scored)
    if errors:
        raise UserError("; ".join(dict.fromkeys(errors)))


def _teachers(goal: Goal) -> set[str]:
    """Names of an experiment's teachers, of their teachers, and so on."""
    return {each.layout.experiment for each in select.teachers(goal.context)}


def _finish_shared(goals: Sequence[Goal], target: str) -> None:
    """Run the stages that all experiments share: without tiles and folds, none can continue."""
    shared = [replace(goal, stages=tuple(each for each in goal.stages if each.shared)) for goal in goals]
    outcome = carry_out([goal for goal in shared if goal.stages])
    if outcome.errors:
        raise UserError(outcome.errors[0])
    shared_target = any(current.name == target for goal in shared for current in goal.stages)
    if shared_target and target not in outcome.ran:
        echo(f"{target}: up to date")


def carry_out(goals: Sequence[Goal], given: frozenset[consent.Finished] = frozenset()) -> Outcome:
    """Run the steps of the plan until none is left, or every goal has failed.

    Args:
        goals: experiments, or blends.
        given: finished trainings that the user has agreed to replace.
    """
    left, ran, errors = list(goals), set[str](), list[str]()
    runs: Counter[tuple[str, str]] = Counter()
    for goal in left:
        if TRAIN in goal.stages:
            _request(goal.context)
    while steps := plan(left):
        step = steps[0]
        if damaged := discard_damaged(artifact for artifact, _ in step.pending):
            for line in damaged:
                echo(line)
            _forget(left)
            continue
        if step.stage is TRAIN:
            consent.check(step.contexts, given)  # again: inputs that were made again may have other content
        ran.add(step.stage.name)
        found = run_step(step)
        _forget(left)
        for goal in step.goals:
            key = (step.stage.name, goal.context.layout.experiment)
            runs[key] += 1
            if runs[key] == MOST_RUNS and not found:
                found = [f"{' '.join(key)}: made {MOST_RUNS} times, and its files changed each time; check the disk"]
                left.remove(goal)
            elif found and goal.at(step.stage).pending(step.stage):
                left.remove(goal)
        errors += found
    return Outcome(tuple(left), frozenset(ran), tuple(errors))


def run_step(step: Step) -> list[str]:
    """Run one stage, for all its experiments at once or one after the other; returns a line for each error."""
    started, errors, contexts = time.monotonic(), list[str](), step.contexts
    for group in [contexts] if step.stage.side_by_side else [[context] for context in contexts]:
        try:
            # One experiment may have made what the next one needs, too.
            if any(context.pending(step.stage) for context in group):
                _run(step.stage, group)
        except UserError as error:
            errors.append(str(error))
        _forget(step.goals)
    if step.stage.side_by_side and (not errors or any(not context.pending(step.stage) for context in contexts)):
        echo(f"{step.stage.name}: done in {format_duration(time.monotonic() - started)}")
    return errors


def _run(stage: Stage, contexts: Sequence[Context]) -> None:
    """Run a stage. What another process made while this one waited for its lock is not made again."""
    for context in contexts:
        stage.check(context)
    if stage.side_by_side:
        stage.make(*contexts)
        return
    (context,) = contexts
    with contextlib.ExitStack() as stack:
        for artifact in stage.artifacts(context):
            stack.enter_context(locked(artifact))
        context.freshness.forget()
        for artifact in stage.artifacts(context):
            stack.enter_context(reading_inputs(artifact))
        if context.pending(stage):
            stage.make(context)
            return
    echo(f"{stage.name}: another process has made it")
    stage.check(context)


def _request(context: Context) -> None:
    """Record what is asked for, before the work starts."""
    request_folds(context.layout, {*context.folds, *requested_folds(context.layout)})
    write_config(context.layout)


def _forget(goals: Iterable[Goal]) -> None:
    for goal in goals:
        goal.context.freshness.forget()


def until(name: str) -> tuple[Stage, ...]:
    """The stages of the road as far as the one of this name."""
    names = [each.name for each in ROAD]
    return ROAD[: names.index(name) + 1]
