"""The summary at the end of a command. It reads manifests only, so it takes no time."""

from __future__ import annotations

from typing import Any

from pipeline.artifacts import leaderboard_file
from pipeline.config.datasets import DEMO, dataset
from pipeline.reporting import checks
from pipeline.reporting.settings import marked_epoch
from pipeline.stages import Context, report, submit, train, validate
from pipeline.stages.command_line import command_line
from pipeline.system.progress import echo, format_duration, short_path


def blended(context: Context) -> None:
    """After the validation of a blend: its members, its cross-fitted score, and the next step."""
    layout = context.layout
    validated = context.freshness.manifest(validate.artifact(layout, context.folds))
    if validated is not None:
        _members(context, validated.result)
        _validated(context, validated.result, "submit")


def only_member(context: Context) -> str:
    """For a blend in which one member has all the weight: a line with that member, and the command that submits it.

    Returns:
        One line, empty for any other blend.
    """
    validated = context.freshness.manifest(validate.artifact(context.layout, context.folds))
    member = checks.sole_member(validated.result["votes"]) if validated is not None else None
    if member is None:
        return ""
    return (
        f"the blend {context.layout.experiment} is {member} alone (weight 1), so it gets no CSV and no row in the "
        f"leaderboard; submit {member} itself: {command_line(context, 'submit', experiment=member)}"
    )


def trained(context: Context) -> None:
    """After training: a line per fold, the cross-fitted score, and the next step."""
    layout, freshness = context.layout, context.freshness
    echo("")
    echo(f"  fold   tiles   epochs   {marked_epoch(layout.settings.train)}    at 0.5      IoU    empty      time")
    for fold in context.folds:
        fitted = freshness.manifest(train.trained(layout, fold))
        found = freshness.manifest(train.out_of_fold(layout, fold))
        if fitted and found:
            result = found.result
            echo(
                f"  {fold:4d}  {result['tiles']:6,d}  {fitted.result['epochs']:7d}  {fitted.result['best_epoch']:5d}"
                f"  {result['score_at_half']:8.4f}  {result['iou']:7.4f}  {result['empty_accuracy']:7.1%}"
                f"  {format_duration(fitted.result['seconds']):>8}"
            )
    validated = freshness.manifest(validate.artifact(layout, context.folds))
    if validated is not None:
        echo("")
        _validated(context, validated.result, "predict submit")


def submitted(context: Context) -> None:
    """After the submission: score, files, and the next step."""
    layout = context.layout
    artifact = submit.artifact(layout, context.folds)
    manifest = context.freshness.manifest(artifact)
    if manifest is None:
        return
    result = manifest.result
    echo("")
    if layout.is_blend:
        _members(context, result)
    _score(result["cv"])
    for text in checks.of_submission(result):
        echo(f"warning: {text}")
    if "score" in result:
        echo(f"  test answers        {result['score']:.4f}  (known for the built-in survey)")
    echo(f"  salt predicted      in {result['tiles_with_salt']:,} of {result['tiles']:,} test tiles")
    echo(f"  CSV                 {short_path(artifact.path)}")
    echo(f"  receipt             {short_path(artifact.manifest_path)}")
    echo(f"  report              {short_path(report.artifact(layout, ()).path)}")
    echo(f"  leaderboard         {short_path(leaderboard_file(layout.root, '.html'))}")
    if dataset(layout.dataset) is DEMO:
        echo("  next                open the report; then the real tiles: make download train predict submit")


def _validated(context: Context, result: dict[str, Any], targets: str) -> None:
    layout = context.layout
    _score(result["cv"])
    echo(f"  report              {short_path(report.artifact(layout, ()).path)}")
    echo(f"  leaderboard         {short_path(leaderboard_file(layout.root, '.html'))}")
    warning = only_member(context) if layout.is_blend else ""
    echo(f"warning: {warning}" if warning else f"  next                {command_line(context, targets)}")


def _members(context: Context, result: dict[str, Any]) -> None:
    """A line for each member of a blend: its weight, and what it scores alone."""
    echo(f"  blend               {context.layout.experiment}")
    total = sum(result["votes"].values())
    for member in context.layout.members:
        alone = context.freshness.manifest(validate.artifact(member, context.folds))
        score = f"{alone.result['cv']['score']:.4f}" if alone else "not known"
        echo(f"    {member.experiment:<17} weight {result['votes'][member.experiment] / total:.2f}, CV alone {score}")


def score_line(cv: dict[str, Any]) -> str:
    """The cross-fitted score, its spread over folds and its interval over tiles."""
    low, high = cv["interval"]
    folds = " ".join(f"{score:.3f}" for score in cv["folds"].values())
    over = f"+- {cv['spread']:.4f} over folds {folds}, " if len(cv["folds"]) > 1 else ""
    return f"  CV (cross-fitted)   {cv['score']:.4f}  {over}95 % interval over tiles {low:.3f} to {high:.3f}"


def _score(cv: dict[str, Any]) -> None:
    echo(score_line(cv))
    for text in checks.of_score(cv):
        echo(f"warning: {text}")
    echo(f"  at threshold 0.5    {cv['score_at_half']:.4f}")
    echo(f"  chosen              threshold {cv['threshold']:.3f}, smallest area {cv['min_area']} pixels")
    if cv["gains"]:
        taken, left = ([each for each in cv["gains"] if each["taken"] is kind] for kind in (True, False))
        gate = {"empty_gate": f" at {cv['gate']:.2f}"} if cv["gate"] is not None else {}
        rules = [f"{each['rule']}{gate.get(each['rule'], '')} {_gain(each)}" for each in taken] or ["none with a gain"]
        echo(f"  rules               {', '.join(rules)}")
        if left:
            rules = [f"{each['rule']} {each['gain']:+.4f}" for each in left]
            echo(f"  rules left out      {', '.join(rules)}")


def _gain(found: dict[str, Any]) -> str:
    return f"{found['gain']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"
