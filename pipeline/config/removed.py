"""Settings that were removed.

Manifests, fingerprints and the identity of backups still hold them, with the value that means what is done now, so that
nothing that exists becomes stale.
"""

from __future__ import annotations

from typing import Any

REMOVED: dict[str, dict[str, Any]] = {"train": {"pseudo_share": 0.0, "pseudo_from": 0.4, "pseudo_sure": 0.7}}
"""By section: stored name of a setting -> the value that means what is done now, as JSON has it."""
INSTEAD = {
    f"train.{name}": "the labels that a network made for itself lowered the score; the section student has its "
    'teachers: student.teachers=["unet"]'
    for name in (
        "pseudo_fraction",
        "pseudo_start",
        "pseudo_keep_fraction",
        "pseudo_share",
        "pseudo_from",
        "pseudo_sure",
    )
}
"""Name of a setting, as ``section.name``, under any of its former names -> why it is gone and what to use."""
