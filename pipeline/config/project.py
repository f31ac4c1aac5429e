"""Names of the project, and the folder that it lies in."""

from __future__ import annotations

from pathlib import Path

PROJECT = "tgs-salt-pipeline"
"""The project's name in its ``pyproject.toml``."""
SCRIPT = "tgs-salt"
"""The console command of the installed package."""


def _checkout() -> Path | None:
    folder = Path(__file__).resolve().parents[2]
    try:
        lines = (folder / "pyproject.toml").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return folder if f'name = "{PROJECT}"' in lines else None


def _root() -> Path:
    try:
        return CHECKOUT or Path.cwd()
    except OSError:  # the current folder was removed
        return Path()


CHECKOUT = _checkout()
"""The project's folder where the package is part of a checkout; None where the package is installed."""
ROOT = _root()
"""Default of ``--root``, the folder of ``data/`` and ``submissions/``: the checkout, or the current folder where the
package is installed."""
