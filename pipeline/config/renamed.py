"""Settings that were renamed. Files on disk keep the old names, so that nothing that exists becomes stale.

To rename a setting, change its name in the schema and add a line to ``STORED_NAMES``.
"""

from __future__ import annotations

STORED_NAMES = {
    "network": {
        "decoder_dropout": "dropout_up",
        "upsampling": "up",
        "upsampling_kernel": "up_kernel",
    },
    "train": {
        "batch_size": "batch",
        "late_loss_start": "late_from",
        "warmup_epochs": "warmup",
        "min_lr_ratio": "floor",
        "pct_start": "peak_at",
        "div_factor": "div",
        "ema_momentum": "ema",
        "swa_start": "swa_from",
    },
    "predict": {"batch_size": "batch"},
}
"""By section: name of a setting -> its name in manifests, fingerprints and the identity of backups."""
RENAMED = {
    f"{section}.{old}": f"{section}.{new}" for section, names in STORED_NAMES.items() for new, old in names.items()
}
"""Former name of a setting -> its name, both as ``section.name``."""


def current_name(stored: str) -> str:
    """Name of a setting, given as ``section.name`` with the name that a manifest holds."""
    return RENAMED.get(stored, stored)
