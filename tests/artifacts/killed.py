"""A command that is killed while it moves folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def killed_at_move(moves: int, work: Callable[[], object]) -> None:
    """Do work that is killed right after it has renamed so many paths; it must get that far."""
    moved: list[str] = []
    really = Path.rename

    def rename(path: Path, target: Path) -> Path:
        moved.append(path.name)
        found = really(path, target)
        if len(moved) == moves:
            raise KeyboardInterrupt
        return found

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", rename)
        work()
