"""The Makefile: its help page needs no environment, and shows the stages as they declare themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.stages import ROAD

PROJECT = Path(__file__).parent.parent


@pytest.fixture
def page(tmp_path: Path) -> list[str]:
    """Lines of ``make help`` on a machine that has neither Python nor the environment."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "awk", "printf"):
        if (path := shutil.which(name)) is None:
            pytest.skip(f"{name} is not installed")
        (programs / name).symlink_to(path)
    environment = tmp_path / "venv"
    ran = subprocess.run(
        ["make", "help", f"VENV={environment}"],
        cwd=PROJECT,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not environment.exists()
    return ran.stdout.splitlines()


def test_help_lists_the_stages_in_order_with_their_help_texts(page: list[str]):
    start = next(number for number, line in enumerate(page) if line.startswith("Stages"))
    section = page[start + 1 : page.index("", start)]
    rows = [re.fullmatch(r"  make (\S+) +(\S.*)", line) for line in section]
    assert [row.groups() for row in rows if row] == [(stage.name, stage.help) for stage in ROAD]
    assert all(rows)


def test_help_aligns_its_texts_and_shows_the_variables(page: list[str]):
    rows = [row for line in page if (row := re.fullmatch(r"(  make \S+ +)\S.*", line))]
    assert len(rows) > len(ROAD)
    assert {len(row[1]) for row in rows} == {len("  make ") + 14 + 1}
    assert any(line.startswith("Variables (now): DATASET=tgs EXPERIMENT=unet FOLDS=all ") for line in page)
