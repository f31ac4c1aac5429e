"""Datasets: where their tiles come from, and what may be done with them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pipeline.config.errors import UserError
from pipeline.config.experiment_files import DEFAULT_EXPERIMENT


class Source(Enum):
    """Where the tiles of a dataset come from."""

    KAGGLE = "kaggle"
    """The competition, or an archive of it."""
    SURVEY = "survey"
    """The built-in synthetic survey."""
    ARCHIVE = "archive"
    """A zip file or folder of the user's."""


@dataclass(frozen=True)
class Dataset:
    """A set of labelled and unlabelled tiles; its artifacts are in ``data/<name>``."""

    name: str
    source: Source = Source.ARCHIVE
    answers_known: bool = False
    """Whether the masks of the test tiles are known, so that a submission is scored locally."""
    may_be_uploaded: bool = False
    """Whether the CSV belongs to the Kaggle competition."""
    default_experiment: str = DEFAULT_EXPERIMENT


TGS = Dataset("tgs", Source.KAGGLE, may_be_uploaded=True)
"""The TGS Salt Identification Challenge."""
DEMO = Dataset("demo", Source.SURVEY, answers_known=True, default_experiment="demo")
"""The built-in synthetic survey."""
DEFAULT_DATASET = TGS


def dataset(name: str) -> Dataset:
    """The dataset with a name: ``tgs``, ``demo``, or any other for an archive of the user's.

    Raises:
        UserError: the name cannot be a folder's.
    """
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UserError(f"dataset {name!r}: a name is made of letters, digits, '-' and '_'")
    return {TGS.name: TGS, DEMO.name: DEMO}.get(name) or Dataset(name)
