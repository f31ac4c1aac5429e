"""What the program knows of a dataset by its name."""

from __future__ import annotations

import pytest

from pipeline.config import UserError, all_experiment_names
from pipeline.config.datasets import DEFAULT_DATASET, Source, dataset


def test_the_competition_is_the_default_and_the_only_one_that_is_uploaded():
    assert dataset("tgs") == DEFAULT_DATASET
    assert [name for name in ("tgs", "demo", "mine") if dataset(name).may_be_uploaded] == ["tgs"]


def test_only_the_survey_knows_its_answers():
    assert [name for name in ("tgs", "demo", "mine") if dataset(name).answers_known] == ["demo"]
    assert dataset("demo").source is Source.SURVEY


def test_any_other_name_is_an_archive_of_the_users():
    assert (dataset("my-tiles_2").name, dataset("my-tiles_2").source) == ("my-tiles_2", Source.ARCHIVE)


def test_default_experiments_exist():
    assert {dataset(name).default_experiment for name in ("tgs", "demo", "mine")} <= {*all_experiment_names()}


@pytest.mark.parametrize("name", ["", "../x", "a b", "-"])
def test_a_name_that_cannot_be_a_folder_is_rejected(name: str):
    with pytest.raises(UserError, match="a name is made of letters"):
        dataset(name)
