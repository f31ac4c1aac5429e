"""Settings of an experiment, or of a blend of experiments, from TOML files and assignments."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.config import consistency, messages
from pipeline.config.errors import UserError
from pipeline.config.experiment_files import DEFAULT_EXPERIMENT, lineage
from pipeline.config.overrides import assign
from pipeline.config.schema.settings import Settings
from pipeline.config.serialise import as_dict, diff
from pipeline.system.environment import option


def load(experiment: str = DEFAULT_EXPERIMENT, overrides: list[str] | None = None) -> Settings:
    """Settings of an experiment: the defaults, its bases, its own file, then the overrides.

    Args:
        experiment: name of a file in ``pipeline/experiments``, without ``.toml``.
        overrides: assignments such as ``"train.epochs=5"``; the value is a TOML literal, a bare word, or a list of
            bare words. A setting of type text takes the text as it is, or the content of a TOML string.

    Returns:
        The resolved, validated settings.

    Raises:
        UserError: the experiment is unknown, its file is not TOML, or a key or value is not allowed.

    Example:
        >>> load("unet", ["train.epochs=5"]).train.epochs
        5
    """
    tree: dict[str, Any] = {}
    settings = Settings()
    for path, own in reversed(lineage(experiment)):
        _merge(tree, own)
        settings = _convert(tree, str(path))
    for assignment in overrides or []:
        assign(tree, assignment)
        settings = _convert(tree, f"--set {assignment[:80]}", typed=True)
    # Only now: of two assignments that belong together, the first alone may be a contradiction.
    if contradiction := consistency.contradiction(settings):
        raise UserError(f"experiment {experiment}: {contradiction}")
    return settings


def blend(members: dict[str, Settings], overrides: list[str] | None = None) -> Settings:
    """Settings of a blend: the split of its members, and how masks are made from their mean.

    Args:
        members: name and settings of each experiment.
        overrides: assignments; those to ``submit`` are applied. The members' own ``submit`` settings are not.

    Raises:
        UserError: the members split the tiles differently, so that no tile is out of fold for all of them.
    """
    (first, base), *others = members.items()
    for name, settings in others:
        for section in ("survey", "split"):
            differing = diff(as_dict(getattr(base, section)), as_dict(getattr(settings, section)), section)
            for key, (one, other) in differing.items():
                raise UserError(
                    f"{first} and {name} cannot be blended: {key} is {one} in {first} and {other} in {name}; "
                    f"train one of them again with the same, for example with {option('set', f'{key}={one}')}"
                )
    tree: dict[str, Any] = {}
    for assignment in overrides or []:
        if assignment.strip().startswith("submit."):
            assign(tree, assignment)
    settings = _convert(tree, "--set", typed=True)
    if contradiction := consistency.contradiction(settings):
        raise UserError(f"--set: {contradiction}")
    return msgspec.structs.replace(settings, survey=base.survey, split=base.split)


def teachers(experiment: str, settings: Settings) -> dict[str, Settings]:
    """Name and settings of each teacher of an experiment, with the experiment's own tiles and folds.

    A teacher has the settings of its file: those of ``--set`` are the experiment's, except ``survey`` and ``split``.
    The folds of both must be the same, so that a teacher's network of a fold has not seen that fold's tiles.

    Args:
        experiment: name of the student, or of an experiment without teachers.
        settings: of the experiment.

    Raises:
        UserError: a teacher is unknown, its file is not valid, or the teachers form a circle.
    """
    return _teachers(settings, (experiment,))


def _teachers(settings: Settings, students: tuple[str, ...]) -> dict[str, Settings]:
    found = {}
    for name in settings.student.teachers:
        if name in students:
            raise UserError(
                f"experiment {students[-1]}: student.teachers names {name}, "
                f"{'which is the experiment itself' if name == students[-1] else 'which learns from it'}; name others"
            )
        try:
            teacher = load(name)
        except UserError as error:
            raise UserError(f"experiment {students[-1]}, student.teachers: {error}") from None
        found[name] = msgspec.structs.replace(teacher, survey=settings.survey, split=settings.split)
        _teachers(found[name], (*students, name))
    return found


def _merge(tree: dict[str, Any], own: dict[str, Any]) -> None:
    """Put an experiment's values over those of its base, setting by setting."""
    for section, values in own.items():
        below = tree.get(section)
        tree[section] = {**below, **values} if isinstance(below, dict) and isinstance(values, dict) else values


def _convert(tree: dict[str, Any], where: str, typed: bool = False) -> Settings:
    """Settings from a tree of plain values; ``where`` names their source in error messages.

    Raises:
        UserError: a setting is unknown, or a value is not allowed.
    """
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {messages.explain(tree, typed) or error}") from None
    return consistency.normalized(settings, where)
