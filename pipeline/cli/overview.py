"""Where an experiment stands, for ``status`` and ``experiments``. Reads manifests only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import config
from pipeline.artifacts import Freshness, Layout
from pipeline.cli.summary import only_member, score_line
from pipeline.config import UserError
from pipeline.config.datasets import Source, dataset
from pipeline.config.experiment_files import description
from pipeline.road import consent
from pipeline.road.plan import TRAIN, trained_folds
from pipeline.road.request import requested_folds
from pipeline.stages import ROAD, Context, report, submit, train, validate
from pipeline.stages.command_line import command_line
from pipeline.system.environment import option
from pipeline.system.progress import fold_names, short_path


def standing(context: Context) -> list[str]:
    """The score of an experiment or a blend, if it is validated, and the command that goes on with it."""
    scored = trained_folds(context)
    artifact = validate.artifact(context.layout, scored.folds)
    manifest = context.freshness.manifest(artifact)
    lines = []
    if manifest is not None:
        stale = "" if context.freshness.state(artifact).done else " (stale)"
        lines.append(f"{score_line(manifest.result['cv'])}{stale}")
    known = requested_folds(context.layout)
    requested = tuple(fold for fold in known if fold in context.folds)
    wanted = replace(context, folds=requested or context.folds)
    others = [fold for fold in context.layout.folds if fold not in (*wanted.folds, *known)]
    if others and not context.layout.is_blend:
        lines.append(f"  {fold_names(others):<19} not asked for yet: {command_line(context, 'train predict submit')}")
    replaced = [] if context.layout.is_blend else consent.to_replace(wanted)
    replaced = [each for each in replaced if each.certain]
    if replaced:
        lines.append(f"  finished            {consent.how_to_keep(replaced)}")
    return [*lines, f"  next                {_next(wanted, [each.fold for each in replaced])}"]


def _next(context: Context, replaced: Sequence[int]) -> str:
    """The command that goes on with some folds, of which it would replace those that are finished but stale."""
    layout = context.layout
    some = ",".join(map(str, context.folds)) if len(context.folds) < len(layout.folds) else ""
    if layout.is_blend:
        if context.freshness.state(submit.artifact(layout, context.folds)).done:
            return f"open {short_path(report.artifact(layout, ()).path)}"
        return only_member(context) or command_line(context, "submit")
    pending = [stage for stage in ROAD if context.pending(stage)]
    if pending and ROAD.index(pending[0]) <= ROAD.index(TRAIN):
        first = "download " if pending[0].name == "download" else ""
        found = command_line(context, f"{first}train predict submit", folds=some, retrain=bool(replaced))
        if first and dataset(layout.dataset).source is Source.ARCHIVE:
            found += " " + option("archive", "tiles.zip")
        return f"{found} (replaces {fold_names(replaced)})" if replaced else found
    if pending:
        return command_line(context, "predict submit")
    receipt = context.freshness.manifest(submit.artifact(layout, context.folds))
    if dataset(layout.dataset).may_be_uploaded and not (receipt and receipt.result.get("kaggle")):
        return command_line(context, "submit")
    return f"open {short_path(report.artifact(layout, ()).path)}"


@dataclass(frozen=True)
class _Row:
    """A line of the list of experiments."""

    name: str
    score: str = "-"
    minutes: str = "-"
    trained: str = "-"


def experiments(root: Path, dataset_name: str, names: Sequence[str]) -> list[str]:
    """A table of experiments: what those cost and score that are trained on a dataset, and what each one shows.

    Args:
        root: the folder of ``data/`` and ``submissions/``.
        dataset_name: of the dataset.
        names: of the experiments. The dataset's default comes first.
    """
    default = dataset(dataset_name).default_experiment
    rows = [_row(root, dataset_name, name) for name in sorted(names, key=lambda name: (name != default, name))]
    cells = [("experiment", "CV", "minutes", "folds trained")]
    cells += [(row.name, row.score, row.minutes, row.trained) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    about = ["what it shows", *(_about(row.name, default) for row in rows)]
    return [
        f"{name:<{widths[0]}}  {score:>{widths[1]}}  {minutes:>{widths[2]}}  {folds:<{widths[3]}}  {text}"
        for (name, score, minutes, folds), text in zip(cells, about, strict=True)
    ]


def _row(root: Path, dataset_name: str, name: str) -> _Row:
    try:
        layout = Layout(root, dataset_name, name, config.load(name))
        _ = layout.teachers
    except UserError:  # a file of the user's that is not valid is listed, too
        return _Row(name)
    freshness = Freshness()
    folds = [fold for fold in layout.folds_on_disk() if freshness.manifest(train.trained(layout, fold))]
    if not folds:
        return _Row(name)
    stale = any(not freshness.state(train.trained(layout, fold)).done for fold in folds)
    trained = f"{len(folds)} of {max(len(layout.folds), len(folds))}{', stale' if stale else ''}"
    validated = freshness.manifest(validate.artifact(layout, folds))
    if validated is None:
        return _Row(name, trained=trained)
    result = validated.result
    return _Row(name, f"{result['cv']['score']:.4f}", f"{result['training']['minutes']:.1f}", trained)


def _about(name: str, default: str) -> str:
    text = description(name) or "(its file has no description in the first line)"
    return f"{text} (the default)" if name == default and "default" not in text.lower() else text
