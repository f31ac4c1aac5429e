"""Settings that were added later, with the values that mean what was done before they existed.

Manifests, fingerprints and the identity of backups leave out a setting with its value of before, so that nothing that
exists becomes stale and a training that was stopped before the setting existed resumes. The value is written here
rather than read from the schema: the default may change later.
"""

from __future__ import annotations

from typing import Any

from pipeline.config.schema.base import TILE

BEFORE: dict[str, dict[str, Any]] = {
    "augment": {"cutout": 0.0, "cutout_size": 30, "resized_crop": 0.0, "resized_crop_area": [0.64, 1.0]},
    "network": {
        "empty_gate": "logit",
        "hypercolumn_dropout": 0.0,
        "deep_supervision_tiles": "all",
        "encoder_attention": "none",
        "context": "none",
        "stem_width": 0,
        "full_resolution": "convolution",
        "skip_kernel": 3,
        "hypercolumn_join": "concatenate",
    },
    "split": {"group": "none", "mosaic_ratio": 0.5},
    "pretrain": {
        "views": 64000,
        "block": 8,
        "fraction": 0.5,
        "learning_rate": 0.0015,
        "batch_size": 16,
        "layers": "all",
        "seed": 0,
    },
    "student": {
        "teachers": [],
        "fraction": 0.5,
        "end": 0.8,
        "uncertain": [0.2, 0.8],
        "certain_pixels": 0.9,
        "balance": "labelled",
    },
    "submit": {"neighbors": False},
    "train": {"keep": "best", "ema_statistics": "raw", "exclude": [], "first_cycle": 0.0, "pretrain": "none"},
}
"""By section: name of a setting -> its value of before, as JSON has it."""
NEW_SECTIONS = ("pretrain", "student")
"""Sections that did not exist before; one is left out where all its settings have their values of before."""
TILE_BEFORE = {"TILE": 101}
"""The side of a tile in manifests that do not name it."""


def without_added(section: str, values: dict[str, Any]) -> dict[str, Any]:
    """The settings of a section without those that have their values of before."""
    before = BEFORE.get(section, {})
    return {name: value for name, value in values.items() if name not in before or value != before[name]}


def with_added(settings: dict[str, Any]) -> dict[str, Any]:
    """Stored settings, section -> name -> value, together with the added settings and sections that they leave out."""
    completed = {
        section: BEFORE[section] | values if section in BEFORE and isinstance(values, dict) else values
        for section, values in settings.items()
    }
    return completed | {section: BEFORE[section] for section in NEW_SECTIONS if section not in settings}


def tile_size() -> dict[str, int]:
    """The side of a tile, as the settings of an artifact name it; empty for that of before."""
    size = {"TILE": TILE}
    return {} if size == TILE_BEFORE else size
