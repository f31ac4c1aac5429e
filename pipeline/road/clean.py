"""Remove what one stage, or one experiment, has left on disk, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pipeline.artifacts import Artifact, Layout, blend_name, check_links, locked, remove_folder
from pipeline.config import DEFAULT_EXPERIMENT, UserError, all_experiment_names
from pipeline.road import select
from pipeline.road.request import request_folds, requested_folds
from pipeline.stages import ROAD, Context, Stage, get_stage
from pipeline.system import environment
from pipeline.system.progress import echo


def clean(selection: select.Selection, what: str) -> bool:
    """Remove what a stage or an experiment has left; returns whether there was anything.

    A folder that is a link stays, and so does the folder that it points to, but empty (``remove_folder``).

    Args:
        selection: dataset, experiment and folds.
        what: name of a stage, of an experiment or of a blend.

    Raises:
        UserError: there is nothing of that name, or a link leads to no folder.
        BusyError: another process is making some of it. Nothing was removed.
    """
    is_stage = what in {each.name for each in ROAD}
    if not is_stage and selection.folds:
        command = "make clean-train" if environment.is_from_make() else "clean train"
        some = f"{environment.option('experiment', what)} {environment.option('folds', selection.folds)}"
        raise UserError(f"clean {what} removes the whole experiment; for some of its folds: {command} {some}")
    if is_stage:
        context = replace(select.context(selection, selection.only_name), asked=what)
        made = get_stage(what).artifacts(context)
        paths = [*_paths(get_stage(what), made), *get_stage(what).leftovers(context)]
    else:
        context = _experiment(selection, what)
        made = _everything(context)
        paths = [context.layout.experiment_folder, *_paths(get_stage("submit"), get_stage("submit").artifacts(context))]
    for folder in dict.fromkeys(artifact.folder for artifact in made):
        check_links(folder)
    paths = [path for path in dict.fromkeys(paths) if path.exists()]
    with contextlib.ExitStack() as stack:
        for artifact in made if paths else ():
            stack.enter_context(locked(artifact, wait=0))
        if what == "train" and is_stage and context.layout.experiment_folder.is_dir():
            request_folds(context.layout, {*requested_folds(context.layout)} - {*context.folds})
        for path in paths:
            if path.is_dir():
                remove_folder(path)
            else:
                path.unlink(missing_ok=True)
            echo(f"removed {'all that is in ' if path.is_symlink() else ''}{path}")
    if not paths:
        echo("nothing to remove")
    return bool(paths)


def _experiment(selection: select.Selection, what: str) -> Context:
    """A context for what an experiment has left, even if its file is gone or no longer valid: only its name matters."""
    plain = select.context(replace(selection, folds=""), DEFAULT_EXPERIMENT)
    layout = plain.layout
    left = {path.name for path in layout.experiments_folder.glob("[!.]*") if path.is_dir()}
    name = blend_name({*what.split("+")})
    if not {*what.split("+")} <= {*all_experiment_names()} and name not in left:
        known = ", ".join([*(each.name for each in ROAD), *sorted({*all_experiment_names(), *left})])
        raise UserError(f"there is nothing called {what!r} to clean; there are: {known}")
    return replace(plain, layout=Layout(layout.root, layout.dataset, name, layout.settings))


def _everything(context: Context) -> list[Artifact]:
    """All artifacts of an experiment, also of folds that its settings no longer have."""
    layout = context.layout
    folds = tuple(sorted({*layout.folds_on_disk(), *layout.folds}))
    every = replace(context, folds=folds)
    return [artifact for each in ROAD if not each.shared for artifact in each.artifacts(every)]


def _paths(stage: Stage, made: Iterable[Artifact]) -> list[Path]:
    if stage.owns_folder:
        return [artifact.folder for artifact in made]
    return [
        artifact.folder / name
        for artifact in made
        for name in (artifact.manifest_name, *artifact.outputs, *artifact.extras)
    ]
