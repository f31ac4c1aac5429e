"""Which experiments and folds a command is about, and their blend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import config
from pipeline.artifacts import Blend, Freshness, Layout, blend_name
from pipeline.config import ClusterSettings, KaggleSettings, UserError
from pipeline.config.datasets import dataset
from pipeline.road.request import requested_folds
from pipeline.stages import Context
from pipeline.system.environment import option
from pipeline.system.progress import echo

LONGEST_NAME = 150
"""Characters of a blend's name. File systems allow 255 for a file's name, which is longer while it is written."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What the options of a command select, as typed."""

    root: Path
    dataset: str
    experiment: str
    """One name, or several with commas; ``a+b`` is the blend of a and b."""
    folds: str = ""
    """Numbers with commas; empty for all."""
    assignments: tuple[str, ...] = ()
    """Values of ``--set``."""
    archive: Path | None = None
    jobs: int = 1
    cluster: ClusterSettings | None = None
    kaggle: KaggleSettings | None = None
    retrain: bool = False

    @property
    def names(self) -> list[str]:
        """The experiments."""
        names = list(dict.fromkeys(self.experiment.replace(",", " ").replace("+", " ").split()))
        return names or [self.experiment]

    @property
    def only_name(self) -> str:
        """The experiment of a command that takes one.

        Raises:
            UserError: several are named.
        """
        if "," in self.experiment or "+" in self.experiment:
            raise UserError(f"{option('experiment', self.experiment)}: this command takes one experiment at a time")
        return self.experiment


def context(selection: Selection, experiment: str) -> Context:
    """The context of one experiment.

    Raises:
        UserError: the name of the dataset or of the experiment, a setting or a fold is not valid.
    """
    dataset(selection.dataset)
    settings = config.load(experiment, list(selection.assignments))
    return Context(
        Layout(selection.root, selection.dataset, experiment, settings),
        Freshness(),
        parse_folds(selection.folds, settings.split.folds),
        archive=selection.archive,
        jobs=selection.jobs,
        cluster=selection.cluster,
        kaggle=selection.kaggle,
        assignments=selection.assignments,
        retrain=selection.retrain,
    )


def teachers(context: Context) -> list[Context]:
    """The contexts of an experiment's teachers, with the same folds, each after those of its own teachers.

    Raises:
        UserError: a teacher is unknown or not valid, or the teachers form a circle.
    """
    found: dict[str, Context] = {}
    shared = tuple(each for each in context.assignments if each.strip().startswith(("survey.", "split.")))
    for layout in context.layout.teachers:
        teacher = replace(context, layout=layout, freshness=Freshness(), assignments=shared)
        for each in (*teachers(teacher), teacher):
            found.setdefault(each.layout.experiment, each)
    return list(found.values())


def contexts(selection: Selection) -> list[Context]:
    """A context for each experiment, each name and setting checked before any work."""
    return [context(selection, name) for name in selection.names]


def parse_folds(text: str, count: int) -> tuple[int, ...]:
    """Numbers of folds.

    Args:
        text: such as ``0,2``; empty for all.
        count: number of folds of the split.

    Raises:
        UserError: the text is not a list of folds that there are.
    """
    if not text:
        return tuple(range(count))
    try:
        folds = {int(each) for each in text.replace(",", " ").split()}
    except ValueError:
        folds = set()
    if not folds:
        raise UserError(f"folds {text!r}: write them as numbers with commas, for example 0,2")
    if wrong := [fold for fold in sorted(folds) if not 0 <= fold < count]:
        raise UserError(f"there is no fold {', '.join(map(str, wrong))}; the folds are 0 to {count - 1}")
    return tuple(sorted(folds))


def requested_only(context: Context) -> Context:
    """The context with the folds that were asked for so far; where there are none, unchanged."""
    folds, count = requested_folds(context.layout), len(context.layout.folds)
    if not folds:
        return context
    if len(folds) < count:
        names = ", ".join(map(str, folds))
        echo(f"folds {names} of {count} are used; the others have not been requested (make train trains them)")
    return replace(context, folds=folds)


def blend(members: Iterable[Context], assignments: Iterable[str]) -> Context:
    """The context of the blend of some experiments.

    Raises:
        UserError: they split differently, or are too many for a file's name.
    """
    first, *rest = members
    layouts = {each.layout.experiment: each.layout for each in (first, *rest)}
    if len(name := blend_name(layouts)) > LONGEST_NAME:
        raise UserError(
            f"the blend's name would have {len(name)} characters, more than {LONGEST_NAME}: blend fewer experiments, "
            "or give them shorter names"
        )
    settings = config.blend({name: layout.settings for name, layout in sorted(layouts.items())}, list(assignments))
    return replace(first, layout=Blend(layouts.values(), settings), freshness=Freshness())


def with_same_folds(members: list[Context]) -> list[Context]:
    """The members of a blend, with the folds that they have in common; one without any is to have those of the others.

    Raises:
        UserError: the members have different folds.
    """
    requested = {each.layout.experiment: requested_folds(each.layout) for each in members}
    some = {name: folds for name, folds in requested.items() if folds}
    if not some:
        return members
    first, folds = next(iter(some.items()))
    for name, other in some.items():
        if other != folds:
            both = [f"{one} has folds {','.join(map(str, those))}" for one, those in ((first, folds), (name, other))]
            common = ",".join(str(fold) for fold in folds if fold in other) or "0"
            again = option("folds", common)
            raise UserError(f"{' and '.join(both)}: train the others, or blend those of both: {again}")
    return [replace(each, folds=folds) for each in members]
