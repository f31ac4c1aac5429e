"""Error messages for settings that cannot be converted.

``msgspec`` converts all settings at once and reports an error in terms of Python types. For the message, each field is
converted again on its own, and the first one that fails is described from its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pipeline.config.removed import INSTEAD
from pipeline.config.renamed import RENAMED
from pipeline.config.schema.settings import Settings


def explain(tree: dict[str, Any], typed: bool) -> str:
    """The first setting of a tree that is unknown or has a value that is not allowed, and what is allowed.

    Args:
        tree: section -> name -> value, as read from TOML.
        typed: the settings come from the command line, where one text may hold several assignments.

    Returns:
        One line; an empty string where every field converts.
    """
    sections = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    for section, values in tree.items():
        if section not in sections:
            return _unknown(section, sections)
        if not isinstance(values, dict):
            return f"{section} is a section: write [{section}] and its settings below, not {section} = {_shown(values)}"
        types = {field.name: field.type for field in msgspec.structs.fields(sections[section])}
        for name, value in values.items():
            key = f"{section}.{name}"
            if key in RENAMED:
                return f"the setting {key} is now called {RENAMED[key]}; use that name"
            if key in INSTEAD:
                return f"there is no setting {key} any more: {INSTEAD[key]}"
            if name not in types:
                return _unknown(name, types, f"{section}.")
            if not _converts(value, types[name]):
                return f"{key} must be {_requirement(key, value, types[name], typed)}"
    return ""


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A question for the known name that is most similar to an unknown one; empty where none is similar."""
    import difflib

    close = difflib.get_close_matches(name, [*known], n=1, cutoff=0.5)
    return f" (did you mean {prefix + close[0]!r}?)" if close else ""


def _unknown(name: str, known: Iterable[str], prefix: str = "") -> str:
    known = [*known]
    return f"there is no setting {prefix + name!r}{nearest(name, known, prefix)}; known here: {', '.join(known)}"


def _converts(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _requirement(key: str, value: Any, kind: Any, typed: bool) -> str:
    """What the value of a setting must be, and what it is instead."""
    text = f"{described(kind)}, not {_shown(value)}"
    if not isinstance(value, list) and _converts([value], kind):
        return f"{text}; write {key}=[{value}]"
    if words := _words(msgspec.inspect.type_info(kind)):
        given = value if isinstance(value, list) else [value]
        wrong = [each for each in given if isinstance(each, str) and each not in words]
        return text + (nearest(wrong[0], words) if wrong else "")
    if typed and isinstance(value, str):
        return f"{text} (several settings are separated by spaces: train.epochs=5 train.batch_size=16)"
    return text


def described(kind: Any) -> str:
    """What a type allows, in words, for example ``a whole number from 1 to 1000000``."""
    return _described(msgspec.inspect.type_info(kind))


def _described(info: Any) -> str:
    return _listed(_alternatives(info))


def _alternatives(info: Any) -> list[str]:
    match type(info).__name__:
        case "UnionType":
            found = [each for kind in info.types for each in _alternatives(kind)]
            return sorted(found, key=lambda each: each.startswith("a list"))  # whose own items would run into the rest
        case "LiteralType":
            return [repr(value) for value in info.values]
        case "IntType":
            return [f"a whole number from {info.ge} to {info.le if info.lt is None else info.lt - 1}"]
        case "FloatType":
            return [f"a number {_range(info)}"]
        case "BoolType":
            return ["true or false"]
        case "VarTupleType":
            count = " of one or more items" if info.min_length else ""
            return [f"a list in brackets{count}, each item {_described(info.item_type)}"]
        case "TupleType":
            return [f"a list of {len(info.item_types)} values in brackets, each {_described(info.item_types[0])}"]
    return ["text"]


def _range(info: Any) -> str:
    if info.gt is None and info.lt is None:
        return f"from {_number(info.ge)} to {_number(info.le)}"
    low = f"of at least {_number(info.ge)}" if info.gt is None else f"above {_number(info.gt)}"
    high = f"at most {_number(info.le)}" if info.lt is None else f"below {_number(info.lt)}"
    return f"{low} and {high}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _listed(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _words(info: Any) -> list[str]:
    """The strings that a type allows, at any depth."""
    inner = [*getattr(info, "types", ()), *filter(None, [getattr(info, "item_type", None)])]
    own = [value for value in getattr(info, "values", ()) if isinstance(value, str)]
    return own + [word for each in inner for word in _words(each)]


def _shown(value: Any) -> str:
    """A value in at most 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with more digits than Python prints, or a deep nesting
        return "this value"
    return text if len(text) <= 80 else f"{text[:80]}..."
