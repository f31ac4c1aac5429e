"""Settings: typed, immutable, validated; their fingerprint tells whether an artifact is up to date.

An experiment is a TOML file in ``pipeline/experiments`` with the settings that differ from the defaults, or from
another experiment that it names as its ``base``. The defaults are the experiment ``unet``. ``--set train.epochs=5``
changes one value on top. The sections are in ``pipeline/config/schema``.

The package imports only the standard library and msgspec, so that every command starts fast.
"""

from pipeline.config.errors import UserError
from pipeline.config.experiment_files import (
    DEFAULT_EXPERIMENT,
    EXPERIMENTS,
    all_experiment_names,
    experiment_names,
    experiment_path,
)
from pipeline.config.loading import blend, load, teachers
from pipeline.config.overrides import split_assignments
from pipeline.config.project import CHECKOUT, PROJECT, ROOT, SCRIPT
from pipeline.config.schema.augment import AugmentSettings
from pipeline.config.schema.base import TILE
from pipeline.config.schema.cluster import ClusterSettings
from pipeline.config.schema.data import ExtraChannels, InputSettings, SplitSettings, SurveySettings
from pipeline.config.schema.kaggle import KaggleSettings
from pipeline.config.schema.network import Application, NetworkSettings
from pipeline.config.schema.predict import PredictSettings, Rule, SubmitSettings, ViewName
from pipeline.config.schema.pretrain import PretrainSettings
from pipeline.config.schema.settings import Settings
from pipeline.config.schema.student import StudentSettings
from pipeline.config.schema.train import ExcludedTiles, LossName, TrainSettings
from pipeline.config.serialise import as_dict, diff, differences, fingerprint, stored, to_toml

__all__ = [
    "CHECKOUT",
    "DEFAULT_EXPERIMENT",
    "EXPERIMENTS",
    "PROJECT",
    "ROOT",
    "SCRIPT",
    "TILE",
    "Application",
    "AugmentSettings",
    "ClusterSettings",
    "ExcludedTiles",
    "ExtraChannels",
    "InputSettings",
    "KaggleSettings",
    "LossName",
    "NetworkSettings",
    "PredictSettings",
    "PretrainSettings",
    "Rule",
    "Settings",
    "SplitSettings",
    "StudentSettings",
    "SubmitSettings",
    "SurveySettings",
    "TrainSettings",
    "UserError",
    "ViewName",
    "all_experiment_names",
    "as_dict",
    "blend",
    "diff",
    "differences",
    "experiment_names",
    "experiment_path",
    "fingerprint",
    "load",
    "split_assignments",
    "stored",
    "teachers",
    "to_toml",
]
