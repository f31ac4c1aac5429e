"""Settings as plain values, as TOML and as a fingerprint, and what differs between two of them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from pipeline.config.added import NEW_SECTIONS, without_added
from pipeline.config.removed import REMOVED
from pipeline.config.renamed import STORED_NAMES
from pipeline.config.schema.base import Section
from pipeline.config.schema.settings import Settings


def as_dict(settings: Section) -> dict[str, Any]:
    """Settings as plain nested dicts, lists, numbers and strings, in the order of the schema."""
    # By way of JSON, so that they compare equal to values read from a manifest (a tuple becomes a list).
    return msgspec.json.decode(msgspec.json.encode(settings))


def stored(settings: Section) -> dict[str, Any]:
    """Settings as manifests hold them and fingerprints hash them.

    As ``as_dict``, with the names of ``STORED_NAMES``, without the added settings that have their values of before and
    the added sections that consist of such settings, and with the settings that were removed.

    Args:
        settings: all sections, or one.
    """
    plain = as_dict(settings)
    if isinstance(settings, Settings):
        sections = {section: _as_stored(section, values) for section, values in plain.items()}
        return {section: values for section, values in sections.items() if values or section not in NEW_SECTIONS}
    return _as_stored(_SECTION_NAMES[type(settings)], plain)


_SECTION_NAMES = {type(getattr(Settings(), name)): name for name in Settings.__struct_fields__}


def _as_stored(section: str, values: dict[str, Any]) -> dict[str, Any]:
    names = STORED_NAMES.get(section, {})
    kept = {names.get(name, name): value for name, value in without_added(section, values).items()}
    return kept | REMOVED.get(section, {})


def differences(settings: Settings, base: Settings | None = None) -> dict[str, tuple[Any, Any]]:
    """Settings that differ from ``base`` (by default, the defaults): dotted key -> (base value, value)."""
    return diff(as_dict(base or Settings()), as_dict(settings))


def diff(old: Any, new: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """What differs between two trees of plain values: dotted key -> (old value, new value)."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in dict.fromkeys([*old, *new]):
            found.update(diff(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key)))
        return found
    return {} if old == new else {prefix: (old, new)}


def fingerprint(value: Any) -> str:
    """A short hash of plain nested values: equal values give the same 16 hexadecimal digits."""
    encoded = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:16]


def to_toml(settings: Settings) -> str:
    """The resolved settings as TOML, in the form that an experiment's file has."""
    import json

    lines: list[str] = []
    for section, values in as_dict(settings).items():
        lines.append(f"[{section}]")
        # Numbers, booleans, flat lists and ASCII-escaped strings are written alike in JSON and TOML.
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)
