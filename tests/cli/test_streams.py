"""Standard streams that are closed, as by a daemon."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY, common

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(tmp_path: Path, closed: str):
    line = shlex.join([sys.executable, "-m", "pipeline", "download", *common(tmp_path, TINY)])
    ran = subprocess.run(["bash", "-c", f"{line} {closed}"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [*tmp_path.glob("data/demo/raw/**/*.json")]


STARTED = """
import os, sys
from pipeline.system import streams
streams.open_closed()
with open(os.environ["OPENED"], "w") as file:
    print(file.fileno(), file=file)
    print("\\udcff", file=sys.stderr)
    here = "import os, sys; [os.fstat(number) for number in range(3)]; print('printed', file=sys.stderr)"
    sys.exit(os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", here]))
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_closed_stream_nor_do_processes_lack_one(tmp_path: Path, closed: str):
    line = f"{shlex.join([sys.executable, '-c', STARTED])} {closed}"
    opened = tmp_path / "opened"
    ran = subprocess.run(
        ["bash", "-c", line], env=os.environ | {"OPENED": str(opened)}, cwd=PROJECT, capture_output=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert int(opened.read_text().split()[0]) > 2


def test_the_line_of_a_refused_command_is_not_printed_elsewhere(tmp_path: Path):
    line = shlex.join([sys.executable, "-m", "pipeline", "train", "--folds", "7", *common(tmp_path, TINY)])
    ran = subprocess.run(["bash", "-c", f"{line} 2>&-"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (2, "")
