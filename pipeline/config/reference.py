"""The reference of all settings: name, type, range, default and meaning, read from the schema.

The meaning of a setting is the string below it in ``pipeline/config/schema/``.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from pipeline.config.errors import UserError
from pipeline.config.messages import described, nearest
from pipeline.config.schema.base import Section
from pipeline.config.schema.settings import Settings

MOST_NAMES = 12
"""A choice among more names than these is shortened."""


@dataclass(frozen=True)
class Setting:
    """One setting."""

    section: str
    name: str
    values: str
    """Type and range, for example ``a whole number from 1 to 1000000``."""
    default: Any
    meaning: str
    """One or more sentences, in reStructuredText's markup for code: double backticks."""

    @property
    def key(self) -> str:
        """The name with its section, as in ``--set train.epochs=5``."""
        return f"{self.section}.{self.name}"


def sections() -> dict[str, str]:
    """Name -> meaning of each section, in the order of the schema."""
    return {name: _summary(type(getattr(Settings(), name))) for name in Settings.__struct_fields__}


@functools.cache
def settings() -> tuple[Setting, ...]:
    """All settings, in the order of the schema."""
    return tuple(each for section in Settings.__struct_fields__ for each in _of_section(section))


def matching(names: Sequence[str]) -> tuple[Setting, ...]:
    """The settings of sections (``train``), or with names (``train.epochs``); all of them without names.

    Raises:
        UserError: there is no such section or setting.
    """
    if not names:
        return settings()
    known = [*sections(), *(each.key for each in settings())]
    for name in names:
        if name not in known:
            raise UserError(
                f"there is no section or setting {name!r}{nearest(name, known)}; sections: {', '.join(sections())}"
            )
    return tuple(each for each in settings() if each.section in names or each.key in names)


def as_written(value: Any) -> str:
    """A value as an experiment's file and ``--set`` take it."""
    return json.dumps(value)


def _of_section(section: str) -> Iterator[Setting]:
    defaults: Section = getattr(Settings(), section)
    kind = type(defaults)
    meanings = _field_docstrings(kind)
    for name, annotation in get_type_hints(kind, include_extras=True).items():
        yield Setting(section, name, described(annotation), getattr(defaults, name), meanings.get(name, ""))


def _summary(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _field_docstrings(kind: type) -> dict[str, str]:
    """The string literal below each field of a class, on one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


# ---- The page -------------------------------------------------------------------------------------------------------


def markdown() -> str:
    """The page ``docs/settings.md``."""
    lines = [
        "# Settings",
        "",
        "<!-- written by: python -m pipeline settings --markdown > docs/settings.md -->",
        "",
        "All settings of an experiment and their defaults, which are those of the experiment `unet`. An experiment's",
        'TOML file has the settings that differ. `SET="train.epochs=5 train.batch_size=16"` (`--set` without make)',
        "changes them for one command. `make settings EXPERIMENT=demo` prints them with the values of that experiment.",
        "",
        "Sections: " + ", ".join(f"[{name}](#{name})" for name in sections()) + ".",
    ]
    for section, meaning in sections().items():
        lines += ["", f"## {section}", "", _markup(meaning), ""]
        lines += ["| setting | default | values | meaning |", "|---|---|---|---|"]
        for each in settings():
            if each.section == section:
                cells = (f"`{each.name}`", f"`{as_written(each.default)}`", _shortened(each.values), each.meaning)
                lines.append(f"| {' | '.join(_markup(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _shortened(values: str) -> str:
    """A choice among many names: the first ones, and how many more there are."""
    names = values.split(", ")
    if len(names) <= MOST_NAMES:
        return values
    return f"{', '.join(names[:4])} and {len(names) - 4} more (the error for an unknown name lists them)"


def _markup(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
