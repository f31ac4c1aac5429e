"""Standard streams that are closed, as by a daemon."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY, common


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(tmp_path: Path, closed: str):
    line = shlex.join([sys.executable, "-m", "pipeline", "download", *common(tmp_path, TINY)])
    ran = subprocess.run(["bash", "-c", f"{line} {closed}"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [*tmp_path.glob("data/demo/raw/**/*.json")]


def test_the_status_of_a_refused_command_remains_without_a_stream_for_its_line(tmp_path: Path):
    line = shlex.join([sys.executable, "-m", "pipeline", "train", "--folds", "7", *common(tmp_path, TINY)])
    assert subprocess.run(["bash", "-c", f"{line} 2>&-"], timeout=60).returncode == 2
