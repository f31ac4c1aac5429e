"""An empty folder for the raw tiles, and an archive that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import UserError
from pipeline.data.sources.archive import unpack


@pytest.fixture
def out(tmp_path: Path) -> Path:
    made = tmp_path / "work" / "raw"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def refused(tmp_path: Path, out: Path) -> Callable[[bytes | Path], str]:
    """Unpack an archive, which must fail; returns the error's line, and checks that nothing was written elsewhere."""

    def unpack_it(archive: bytes | Path) -> str:
        path = archive if isinstance(archive, Path) else tmp_path / "a.zip"
        if isinstance(archive, bytes):
            path.write_bytes(archive)
        before = {each for each in tmp_path.rglob("*") if not each.is_relative_to(out)}
        with pytest.raises(UserError) as caught:
            unpack(path, out)
        after = {each for each in tmp_path.rglob("*") if not each.is_relative_to(out)}
        assert after == before
        line = str(caught.value)
        assert "\n" not in line
        assert line
        return line

    return unpack_it
