"""A made-up download, raw and decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.helpers import Raw


@pytest.fixture
def raw(tmp_path: Path) -> Raw:
    return Raw(tmp_path)


@pytest.fixture(scope="package")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up download, decoded once; copy it before changing it."""
    made = Raw(tmp_path_factory.mktemp("decoded"))
    made.decode()
    return made.out
