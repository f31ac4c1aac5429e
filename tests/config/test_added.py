"""Settings that were added later: files of before they existed fit, and a value of before is not stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts, config
from pipeline.artifacts import Layout
from pipeline.config import Settings, load
from pipeline.config.added import BEFORE, with_added
from pipeline.config.renamed import STORED_NAMES
from pipeline.stages import train

STORED = Path(__file__).parent / "stored"
ADDED = [f"{section}.{name}" for section, names in BEFORE.items() for name in names]


@pytest.mark.parametrize("key", ADDED)
def test_an_added_setting_exists_and_its_value_of_before_is_not_stored(key: str):
    section, name = key.split(".")
    before = BEFORE[section][name]
    settings = load("unet", [f"{key}={before}"])
    assert config.as_dict(settings)[section][name] == before
    assert name not in config.stored(settings).get(section, {})
    assert with_added(config.stored(settings))[section][name] == before
    assert name not in STORED_NAMES.get(section, {})


def test_everything_but_the_values_of_before_is_stored():
    settings = load("unet", ["train.keep=last"])
    assert config.stored(settings)["train"]["keep"] == "last"
    assert config.stored(settings.train)["keep"] == "last"
    whole = config.as_dict(Settings())
    assert {*BEFORE} <= {*whole}
    assert len(with_added(config.stored(settings))["train"]) == len(whole["train"])


def test_a_manifest_of_before_the_setting_fits_and_another_value_is_named():
    manifest = artifacts.parse_manifest((STORED / "train.json").read_bytes())
    assert manifest is not None

    def changed(*assignments: str) -> dict[str, tuple[Any, Any]]:
        trained = train.trained(Layout(Path("nowhere"), "demo", "unet", load("unet", [*assignments])), 0)
        return artifacts.changed_settings(trained, manifest)

    assert changed("train.keep=best") == {}
    assert changed("train.keep=last") == {"train.keep": ("best", "last")}
