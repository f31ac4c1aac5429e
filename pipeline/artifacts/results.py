"""The types of what manifests hold as a stage's result, so that nothing is read from one that is not there.

A manifest's checksum says that it is as it was written, not that it makes sense. Fields that no code reads are not
listed: they may be of any type, and come and go without a new format. A field with a default may be missing.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

Number = Annotated[float, Meta(ge=-1e12, le=1e12)]
Natural = Annotated[int, Meta(ge=0, le=2**53)]
Tiles = Annotated[int, Meta(ge=0, le=10**7)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Name = Annotated[str, Meta(pattern=r"\A[\w+-]{1,1000}\Z")]
"""Of a dataset, an experiment or a blend: part of a path."""
Plain = None | bool | int | float | str
Settings = dict[str, Plain | list[Plain] | dict[str, Plain | list[Plain]]]
"""What a manifest holds of them: values, and sections of values."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """When a stage was done, in how many seconds, by which version; nothing depends on it."""

    at: str = ""
    seconds: float = 0.0
    pipeline: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage has found."""


class Downloaded(Result, frozen=True, kw_only=True):
    source: dict[str, Plain] | UnsetType = UNSET


class Prepared(Result, frozen=True, kw_only=True):
    train: Tiles
    test: Tiles


class Trained(Result, frozen=True, kw_only=True):
    epochs: Natural
    best_epoch: Natural
    """Of those that are kept, the one with the best score."""
    kept_epochs: Annotated[list[Natural], Meta(min_length=1)] | UnsetType = UNSET
    seconds: Number
    cpu_seconds: Number | UnsetType = UNSET
    parameters: Natural
    tiles_per_second: Number
    backend: str
    precision: str


class Pretrained(Result, frozen=True, kw_only=True):
    views: Natural
    loss: Number
    seconds: Number


class OutOfFold(Result, frozen=True, kw_only=True):
    tiles: Tiles
    score_at_half: Number
    iou: Number
    empty_accuracy: Number


class Predicted(Result, frozen=True, kw_only=True):
    tiles: Tiles


class Score(Result, frozen=True, kw_only=True):
    """The part of a cross-fitted score that each format of it has."""

    score: Number
    folds: dict[str, Number]
    interval: tuple[Number, Number]
    score_at_half: Number
    threshold: Share
    min_area: Natural
    tiles: Tiles
    iou: Number
    dice: Number
    empty_accuracy: Number
    rules: list[str] | UnsetType = UNSET


class Gain(Result, frozen=True, kw_only=True):
    rule: str
    taken: bool
    gain: Number
    low: Number
    high: Number


class FullScore(Score, frozen=True, kw_only=True):
    spread: Number
    score_without_rules: Number
    rules: list[str]
    gate: Number | None
    gains: list[Gain]
    # What the warnings read; earlier versions wrote it without.
    nothing: Share | UnsetType = UNSET
    coverage: Share | UnsetType = UNSET
    predicted: Share | UnsetType = UNSET
    constant_folds: list[Natural] | UnsetType = UNSET


class Cost(Result, frozen=True, kw_only=True):
    """What training has cost, as far as it is known."""

    minutes: Number | None = None
    parameters: Natural | None = None
    tiles_per_second: Number | None = None


class FullCost(Result, frozen=True, kw_only=True):
    minutes: Number
    parameters: Natural
    tiles_per_second: Number
    backend: str


class Scored(Result, frozen=True, kw_only=True):
    """What the leaderboard reads of a validation, in whatever format it was made."""

    dataset: Name
    experiment: Name
    cv: Score
    training: Cost | UnsetType = UNSET


class Validated(Result, frozen=True, kw_only=True):
    dataset: Name
    experiment: Name
    cv: FullScore
    votes: dict[str, Annotated[int, Meta(ge=0, le=10**6)]]
    folds: list[Natural]
    training: FullCost

    def __post_init__(self) -> None:
        # Of a blend they are the experiments of its name; weights are shares of their sum.
        if {*self.votes} != {*self.experiment.split("+")} or not any(self.votes.values()):
            raise ValueError(f"votes of {', '.join(self.votes)} for {self.experiment}")


class Kaggle(Result, frozen=True, kw_only=True):
    """Kaggle's answer to an upload."""

    ref: int | None = None
    public: Number | None = None
    private: Number | None = None


class Answered(Result, frozen=True, kw_only=True):
    """What the leaderboard reads of a receipt, in whatever format it was made."""

    score: Number | None = None
    kaggle: Kaggle | UnsetType = UNSET


class ScoreAlone(Result, frozen=True, kw_only=True):
    score: Number


class Listed(Result, frozen=True, kw_only=True):
    """What the list of submissions reads of a receipt, in whatever format it was made."""

    experiment: Name
    cv: ScoreAlone
    kaggle: Kaggle | UnsetType = UNSET


class Submitted(Validated, frozen=True, kw_only=True):
    message: str
    tiles: Tiles
    tiles_with_salt: Tiles
    salt: Share | UnsetType = UNSET
    score: Number | UnsetType = UNSET
    kaggle: Kaggle | UnsetType = UNSET


def error(result: dict[str, Any], kind: type[Result]) -> str:
    """Why a result is not of a kind; an empty string where it is.

    Args:
        result: of a manifest.
        kind: of what is about to be read from it.
    """
    try:
        msgspec.convert(result, kind)
    except msgspec.ValidationError as found:
        return str(found).replace("`", "'").replace("$.", "").replace("$", "its result")
    return ""
