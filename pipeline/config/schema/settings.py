"""All sections of an experiment."""

from __future__ import annotations

from pipeline.config.schema.augment import AugmentSettings
from pipeline.config.schema.base import Section
from pipeline.config.schema.data import InputSettings, SplitSettings, SurveySettings
from pipeline.config.schema.network import NetworkSettings
from pipeline.config.schema.predict import PredictSettings, SubmitSettings
from pipeline.config.schema.pretrain import PretrainSettings
from pipeline.config.schema.student import StudentSettings
from pipeline.config.schema.train import TrainSettings


class Settings(Section, frozen=True):
    """The settings of an experiment."""

    survey: SurveySettings = SurveySettings()
    split: SplitSettings = SplitSettings()
    input: InputSettings = InputSettings()
    network: NetworkSettings = NetworkSettings()
    augment: AugmentSettings = AugmentSettings()
    train: TrainSettings = TrainSettings()
    pretrain: PretrainSettings = PretrainSettings()
    student: StudentSettings = StudentSettings()
    predict: PredictSettings = PredictSettings()
    submit: SubmitSettings = SubmitSettings()
