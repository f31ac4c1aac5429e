"""Run code with another size of a tile, in a process of its own: modules take the constant when they are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def with_tile(size: int, code: str, folder: Path) -> str:
    """What a program prints that imports the project with ``TILE = size``, with a folder as its argument."""
    start = f"import sys; import pipeline.config; pipeline.config.TILE = {size}\n"
    command = [sys.executable, "-c", start + code, str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()
