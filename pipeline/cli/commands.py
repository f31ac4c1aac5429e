"""The commands: read the options, have the work done by ``pipeline.road``, print the results."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from pipeline.artifacts import Artifact, Layout, started, verify
from pipeline.cli.parser import selection
from pipeline.config import UserError, all_experiment_names, experiment_names, geometry
from pipeline.reporting import leaderboard_sources
from pipeline.road import select
from pipeline.road.clean import clean
from pipeline.road.plan import TRAIN, Goal, trained_folds, with_teachers
from pipeline.road.request import requested_folds
from pipeline.stages import ROAD, Context, Stage, get_stage
from pipeline.stages.command_line import command_line, program
from pipeline.system.progress import echo

BLENDED = tuple(each for each in ROAD if each.blended)
"""Stages that also run on the blend of several experiments."""


def run_stage(options: argparse.Namespace) -> None:
    """Run the stages up to the one that was asked for."""
    from pipeline.road.walk import until, walk

    chosen, target = selection(options), get_stage(options.stage)
    contexts = [replace(context, asked=target.name) for context in select.contexts(chosen)]
    trains = ROAD.index(target) >= ROAD.index(TRAIN)
    for context in [*contexts, *(each for one in contexts for each in (select.teachers(one) if trains else ()))]:
        # Only here: artifacts may be looked at, and removed, whatever the settings are now.
        try:
            geometry.check(context.layout.settings)
        except UserError as error:
            raise UserError(f"experiment {context.layout.experiment}: {error}") from None
    contexts, blend = _with_blend(contexts, options)
    if ROAD.index(target) > ROAD.index(TRAIN) and not options.folds:
        contexts = [select.requested_only(context) for context in contexts]
    # Training ends with its score and its page. Of the members of a blend only the blend is submitted.
    submits_blend = blend is not None and target.name == "submit"
    last = "report" if target.name in ("train", "validate") else "predict" if submits_blend else target.name
    goals = [Goal(context, until(last), all_trained=target is TRAIN) for context in contexts]
    if trains:
        goals = with_teachers(goals, until("predict"))

    def summarise(context: Context) -> None:
        if not (submits_blend and not context.layout.is_blend):
            _summarise(context, options, several=len(contexts) > 1)

    if blend is None:
        walk(goals, target.name, summarise)
        return
    without_csv = Goal(blend, BLENDED[:-1])
    if not submits_blend:
        walk([*goals, without_csv], target.name, summarise)
        return
    # Whether there is a blend to submit is known once it is validated.
    walk([*goals, without_csv], target.name, lambda context: None)
    _refuse_only_member(blend)
    walk([*goals, Goal(blend, BLENDED)], target.name, summarise)


def _with_blend(contexts: list[Context], options: argparse.Namespace) -> tuple[list[Context], Context | None]:
    """The experiments, and their blend where the command is about one.

    Raises:
        UserError: the experiments cannot be blended, and their blend is to be submitted.
    """
    if len(contexts) < 2 or not get_stage(options.stage).blended:
        return contexts, None
    try:
        blend = select.blend(contexts, contexts[0].assignments)
        if options.folds:
            return contexts, blend
        members = select.with_same_folds(contexts)
        return members, replace(blend, folds=members[0].folds)
    except UserError as error:
        if options.stage == "submit":
            raise
        echo(f"no blend: {error}")
        return contexts, None


def _refuse_only_member(blend: Context) -> None:
    """Refuse to submit a blend that is one of its members: its CSV would be that member's.

    Raises:
        UserError: one member has all the weight; the line names the command that submits it.
    """
    from pipeline.cli.summary import only_member

    if reason := only_member(blend):
        _refresh_leaderboard(blend.layout)
        raise UserError(reason)


def _summarise(context: Context, options: argparse.Namespace, several: bool) -> None:
    """Print the results of an experiment, and upload a submission."""
    target = get_stage(options.stage)
    if ROAD.index(target) >= ROAD.index(TRAIN):
        _refresh_leaderboard(context.layout)
    if target.name in ("train", "validate", "report"):
        from pipeline.cli.summary import blended, trained

        if context.layout.is_blend:
            echo("")
            blended(context)
        else:
            if several:
                echo(f"\n  experiment          {context.layout.experiment}")
            trained(context)
    if target.name == "submit":
        from pipeline.cli.summary import submitted
        from pipeline.stages import upload

        submitted(context)
        again = command_line(context, "submit")
        upload.run(context, dry=options.dry_run, wait=options.wait, force=options.force, again=again)


def _refresh_leaderboard(layout: Layout) -> None:
    """Write the leaderboard again where results have changed since, as after a command that was killed."""
    if not leaderboard_sources.is_current(layout.root):
        from pipeline.reporting import leaderboard

        leaderboard.write(layout.root)


def list_submissions(options: argparse.Namespace) -> None:
    """Print Kaggle's past submissions with the local receipts."""
    from pipeline.stages import submissions

    submissions.run(options.root)


def show_tile(options: argparse.Namespace) -> None:
    """Draw one tile."""
    from pipeline.stages import show

    chosen = selection(options)
    context = trained_folds(select.context(chosen, chosen.only_name))
    if not show.run(context, options.tile):
        from pipeline.stages.command_line import command_line

        echo(f"  no prediction of it yet: {command_line(context, 'train predict')}")


def print_status(options: argparse.Namespace) -> None:
    """Print what is done, stale or missing."""
    contexts = select.contexts(selection(options))
    if not options.folds:
        # What predict and submit would use.
        contexts = [replace(context, folds=requested_folds(context.layout) or context.folds) for context in contexts]
    for context in contexts:
        _print_states(context, ROAD, options.verify)
    if len(contexts) > 1:
        try:
            members = contexts if options.folds else select.with_same_folds(contexts)
            blend = replace(select.blend(members, members[0].assignments), folds=members[0].folds)
            _print_states(blend, BLENDED, options.verify)
        except UserError as error:
            echo(f"no blend: {error}")


def _print_states(context: Context, stages: Sequence[Stage], thorough: bool) -> None:
    from pipeline.cli.overview import standing

    echo(f"dataset {context.layout.dataset}, experiment {context.layout.experiment}")
    for each in stages:
        for artifact in each.artifacts(context):
            echo(f"  {artifact.name:<16} {_state(context, artifact, thorough)}")
    for line in standing(context):
        echo(line)


def _state(context: Context, artifact: Artifact, thorough: bool) -> str:
    """The state of an artifact, and why it is not done."""
    state = context.freshness.state(artifact)
    manifest = context.freshness.manifest(artifact)
    if not state.done and artifact.stage in ("pretrain", "train") and started(artifact):
        why = f"{state.why}; " if state.why else ""
        return f"{state.kind}: {why}started; make {artifact.stage} resumes after its last finished epoch"
    if state.done and thorough and manifest is not None and (error := verify(artifact, manifest)):
        return f"damaged: {error}; what needs it makes it again first"
    return state.kind + (f": {state.why}" if state.why else "")


def clean_up(options: argparse.Namespace) -> None:
    """Remove what a stage or an experiment has left."""
    if clean(selection(options), options.what) and (options.root / "submissions").is_dir():
        from pipeline.reporting import leaderboard

        leaderboard.write(options.root)


def list_experiments(options: argparse.Namespace) -> None:
    """Print the experiments: what each one shows, and what those score and cost that are trained."""
    from pipeline.cli.overview import experiments

    names = all_experiment_names() if options.all else experiment_names()
    for line in experiments(options.root, options.dataset, names):
        echo(line)
    if not options.all:
        more = len(all_experiment_names()) - len(names)
        echo(f"and {more} of the ladder, each one step: {program()} experiments --all")


def list_settings(options: argparse.Namespace) -> None:
    """Print the settings, with the values of an experiment."""
    from pipeline.cli.settings_list import listing
    from pipeline.config import reference

    if options.markdown:
        echo(reference.markdown().rstrip("\n"))
        return
    chosen = selection(options)
    for line in listing(chosen.only_name, chosen.assignments, options.names):
        echo(line)
