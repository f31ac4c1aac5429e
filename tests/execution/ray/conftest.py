"""A cluster of two nodes, and root folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.execution.ray.helpers import Nodes, end, start


@pytest.fixture(scope="package")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    pytest.importorskip("ray")
    made = Nodes(tmp_path_factory.mktemp("scratch"))
    yield made
    made.shutdown()


@pytest.fixture(scope="package")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder with all folds trained and the test tiles predicted, in turn, on one core."""
    root = tmp_path_factory.mktemp("serial")
    end(start("predict", root=root))
    return root


@pytest.fixture
def fresh(serial: Path, tmp_path: Path) -> Path:
    """A root folder with the tiles and the split alone."""
    for name in ("raw", "tiles", "folds"):
        shutil.copytree(serial / "data/demo" / name, tmp_path / "root/data/demo" / name)
    return tmp_path / "root"
