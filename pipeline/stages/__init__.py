"""The road: one module for each stage, which declares what it makes and makes it.

Every stage reads the artifacts of stages before it and writes its own; nothing else passes between them. A new stage
is a module with a ``STAGE`` (see ``stage.py``), named here in its place on the road.
"""

from pipeline.stages import download, mosaic, predict, prepare, pretrain, report, split, submit, train, validate
from pipeline.stages.stage import Context, Stage

ROAD: tuple[Stage, ...] = (
    download.STAGE,
    prepare.STAGE,
    mosaic.STAGE,
    split.STAGE,
    pretrain.STAGE,
    train.STAGE,
    validate.STAGE,
    report.STAGE,
    predict.STAGE,
    submit.STAGE,
)
"""All stages, in the order in which they run."""


def get_stage(name: str) -> Stage:
    """The stage of this name."""
    return next(each for each in ROAD if each.name == name)


__all__ = ["ROAD", "Context", "Stage", "get_stage"]
