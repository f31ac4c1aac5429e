"""The server, and its user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import SurveySettings
from pipeline.data.sources.synthetic import write_survey
from pipeline.system.progress import Progress
from tests.data.sources.kaggle.helpers import User
from tests.kaggle_server import Kaggle, nested_archive


@pytest.fixture(scope="package")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("survey")
    with Progress("survey", 52, "tiles") as progress:
        write_survey(folder, SurveySettings(train=40, test=12), progress)
    return nested_archive(folder)


@pytest.fixture
def kaggle(archive: bytes) -> Iterator[Kaggle]:
    server = Kaggle(archive)
    yield server
    server.close()


@pytest.fixture
def user(kaggle: Kaggle, tmp_path: Path) -> User:
    return User(kaggle, tmp_path)
