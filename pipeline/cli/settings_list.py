"""The list of settings that ``settings`` prints: value, meaning, and what is allowed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from pipeline import config
from pipeline.config import reference

WIDTH = 100
"""Longest line in characters."""


def listing(experiment: str, assignments: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """The lines of the list.

    Args:
        experiment: whose values are shown.
        assignments: as in ``--set``.
        names: sections (``train``) or settings (``train.epochs``); all of them if empty.

    Raises:
        UserError: a name, the experiment or an assignment is not valid.
    """
    chosen = reference.matching(names)
    values = config.as_dict(config.load(experiment, [*assignments]))
    for section, meaning in reference.sections().items():
        own = [each for each in chosen if each.section == section]
        if not own:
            continue
        yield f"[{section}] {_plain(meaning)}"
        for each in own:
            value, default = (reference.as_written(v) for v in (values[section][each.name], each.default))
            yield f"  {each.key} = {value}" + (f"  (default {default})" if value != default else "")
            text = f"{_plain(each.meaning)} Allowed: {each.values}."
            yield from textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
        yield ""


def _plain(text: str) -> str:
    return text.replace("``", "")
