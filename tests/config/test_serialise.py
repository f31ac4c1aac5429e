"""Settings as TOML and as plain values, their fingerprint and their differences."""

from __future__ import annotations

import tomllib

import msgspec

from pipeline import config
from pipeline.config import Settings, load


def test_settings_survive_the_way_to_toml_and_back():
    settings = load("kernel", ['submit.message="a \\"quoted\\" \\\\ é message"'])
    assert msgspec.convert(tomllib.loads(config.to_toml(settings)), Settings) == settings


def test_the_fingerprint_depends_on_the_values_only():
    assert config.fingerprint({"a": 1, "b": [2.5]}) == config.fingerprint({"b": [2.5], "a": 1})
    assert config.fingerprint({"a": 1}) != config.fingerprint({"a": 2})


def test_differences_name_the_dotted_key():
    assert config.diff({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == {"a.c": (2, 3)}


def test_a_section_is_stored_as_it_is_within_all_settings():
    settings = load("kernel")
    whole = config.stored(settings)
    parts = {name: config.stored(getattr(settings, name)) for name in Settings.__struct_fields__}
    assert whole == {name: part for name, part in parts.items() if part}
    assert {*parts} - {*whole} == {"pretrain", "student"}  # sections that were added: left out where they are as before
    assert config.stored(load("kernel", ["pretrain.views=5"]))["pretrain"] == {"views": 5}
