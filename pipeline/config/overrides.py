"""Assignments on the command line: ``--set train.epochs=5``."""

from __future__ import annotations

import re
import tomllib
from typing import Any, get_type_hints

from pipeline.config.errors import UserError
from pipeline.config.schema.base import Section
from pipeline.config.schema.settings import Settings
from pipeline.system.environment import option


def split_assignments(text: str) -> list[str]:
    """Split a text of several assignments, such as make's ``SET``, before each ``section.key=``.

    A value may contain spaces, such as ``submit.message``, or be a list. Inside double quotes it may contain an
    assignment, too.
    """
    sections = "|".join(Settings.__struct_fields__)
    found, start = [], 0
    for gap in re.finditer(rf"\s+(?=(?:{sections})\.\w+\s*=)", text):
        if text.count('"', 0, gap.start()) % 2 == 0:
            found.append(text[start : gap.start()])
            start = gap.end()
    return [each.strip() for each in (*found, text[start:]) if each.strip()]


def assign(tree: dict[str, Any], assignment: str) -> None:
    """Put the value of one assignment into a tree of sections.

    Raises:
        UserError: the text is not of the form ``section.key=value``.
    """
    key, equals, text = assignment.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot or not name:
        raise UserError(
            f"--set {assignment}: write it as section.key=value, for example {option('set', 'train.epochs=5')}"
        )
    tree.setdefault(section, {})[name] = _value(section, name, text.strip())


def _value(section: str, name: str, text: str) -> Any:
    if _is_text(section, name):
        return _unquoted(text)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return _words(text)


def _is_text(section: str, name: str) -> bool:
    """Whether a setting takes any text, such as a message or a path."""
    defaults = getattr(Settings(), section, None)
    return isinstance(defaults, Section) and get_type_hints(type(defaults)).get(name) is str


def _unquoted(text: str) -> str:
    """The content of a TOML string, where the whole text is one; otherwise the text as it was typed."""
    try:
        # Inside brackets, so that a comment after the string is not valid TOML.
        parsed = tomllib.loads(f"value = [{text}]")
    except (ValueError, RecursionError):
        return text
    match parsed:
        case {"value": [str(value)]} if len(parsed) == 1 and text[:1] == text[-1:]:
            return value
    return text


def _words(text: str) -> str | list[str]:
    """A word, or words in brackets whose quotation marks a shell may have removed: ``[plain,flip]``."""
    inside = re.fullmatch(r"\[\s*([A-Za-z_][\w-]*(?:\s*,\s*[A-Za-z_][\w-]*)*)\s*\]", text)
    return re.split(r"\s*,\s*", inside.group(1)) if inside else text
