"""Renamed settings: the user gets the new name, files on disk keep the old one.

``stored/train.json`` was written by commit 452dac3, before the renaming. ``stored/fingerprints.json`` holds the
values of that commit; its short hashes do not depend on the order of the settings.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts, config
from pipeline.artifacts import Layout
from pipeline.config import Settings, UserError, load
from pipeline.config.renamed import RENAMED, STORED_NAMES, current_name
from pipeline.stages import download, predict, split, submit, train, validate

STORED = Path(__file__).parent / "stored"
FINGERPRINTS: dict[str, dict[str, str]] = json.loads((STORED / "fingerprints.json").read_text(encoding="utf-8"))
CHANGED = [
    "train.batch_size=9",
    "train.late_loss_start=0.4",
    "train.warmup_epochs=2",
    "train.min_lr_ratio=0.02",
    "train.pct_start=0.25",
    "train.div_factor=20",
    "train.ema_momentum=0.9",
    "predict.batch_size=7",
    "network.upsampling=nearest",
    "network.upsampling_kernel=3",
    "network.decoder_dropout=[0.2]",
]
"""What was set at 452dac3 by the former names, ``train.batch=9`` and so on."""
FORMER = {
    "unet with every renamed setting changed": CHANGED,
    "imagenet": [
        "input.size=128",
        "network.encoder=EfficientNetV2B0",
        "network.weights=imagenet",
        "network.levels=4",
        "network.blocks=1",
        "train.epochs=40",
        "train.batch_size=16",
        "train.learning_rate=5e-4",
    ],
    "large": [
        "input.size=128",
        "network.encoder=se_resnet34",
        "network.width=64",
        "network.width_max=512",
        "network.upsampling=bilinear",
        "augment.gamma=0.3",
        "train.epochs=120",
        "train.batch_size=32",
        "train.late_loss_start=0.5",
        "train.ema_momentum=0.998",
    ],
}
"""Experiments that are not there, or were changed since: what differed from ``unet`` at 452dac3."""
CHANGED_BACK = {"article": ["network.kernel_initializer=he_normal"]}
"""Experiments that were changed since in few settings: their former values."""


def test_every_setting_with_another_stored_name_exists_and_the_former_name_is_free():
    for section, names in STORED_NAMES.items():
        fields = getattr(Settings(), section).__struct_fields__
        assert {*names} <= {*fields}
        assert not {*names.values()} & {*fields}
    assert current_name("train.floor") == "train.min_lr_ratio"
    assert current_name("train.epochs") == "train.epochs"


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_former_name_is_rejected_and_the_message_has_the_new_one(old: str, new: str, experiments: Path):
    (experiments / "unet.toml").write_text("")
    with pytest.raises(UserError, match=f"the setting {old} is now called {new}"):
        load("unet", [f"{old}=1"])
    section, name = old.split(".")
    (experiments / "mine.toml").write_text(f"[{section}]\n{name} = 1\n")
    with pytest.raises(UserError, match=rf"mine\.toml: the setting {old} is now called {new}"):
        load("mine")


def short_hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_manifests_fingerprints_and_backups_have_the_values_of_before_the_renaming(name: str):
    settings = load("unet", FORMER[name]) if name in FORMER else load(name, CHANGED_BACK.get(name))
    layout = Layout(Path("nowhere"), "demo", name if name in config.all_experiment_names() else "unet", settings)
    made = {
        "raw": download.artifact(layout),
        "split": split.artifact(layout),
        "train": train.trained(layout, 0),
        "oof": train.out_of_fold(layout, 0),
        "predict": predict.artifact(layout, 0),
        "validate": validate.artifact(layout, (0, 1)),
        "submit": submit.artifact(layout, (0, 1)),
    }
    assert FINGERPRINTS[name] == {
        "settings": config.fingerprint(config.stored(settings)),
        "serialised": short_hash(config.stored(settings)),
        **{stage: short_hash(artifact.settings) for stage, artifact in made.items()},
        "backup": artifacts.backup_folder(train.trained(layout, 0)).name,
        "split_folder": layout.split_folder.name,
    }


def test_the_experiments_of_before_the_renaming_are_all_there():
    assert len(FINGERPRINTS) > 40
    assert {*FINGERPRINTS} - {*config.all_experiment_names()} == {"unet with every renamed setting changed"}


def test_a_manifest_of_before_the_renaming_fits_and_what_changed_has_its_new_name():
    manifest = artifacts.parse_manifest((STORED / "train.json").read_bytes())
    assert manifest is not None

    def changed(*assignments: str) -> dict[str, tuple[Any, Any]]:
        trained = train.trained(Layout(Path("nowhere"), "demo", "unet", load("unet", [*assignments])), 0)
        return artifacts.changed_settings(trained, manifest)

    assert changed() == {}
    assert changed("train.min_lr_ratio=0.5", "network.upsampling=nearest") == {
        "network.upsampling": ("transposed", "nearest"),
        "train.min_lr_ratio": (0.01, 0.5),
    }
