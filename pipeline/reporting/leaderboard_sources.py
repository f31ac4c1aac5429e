"""Which results a leaderboard was written from. Imports no large library: a command with nothing to do asks, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.artifacts import leaderboard_file
from pipeline.config import fingerprint

SUFFIXES = (".csv", ".md", ".html")
"""Of the leaderboard's files, in the order in which they are written."""
_MADE = ("cv.json", "report.json")
"""Manifests of an experiment: of its score, and of the report to which the leaderboard links."""


def mark(root: Path) -> str:
    """A short hash of names, sizes and times of all results, which is part of the leaderboard's page.

    The leaderboard's own time would not do: results that were copied or unpacked here keep older times.

    Args:
        root: the folder of ``data/`` and ``submissions/``.
    """
    found = []
    for path in _sources(root):
        with suppress(FileNotFoundError):  # another command has just removed it
            status = path.stat()
            found.append([path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns])
    return fingerprint(sorted(found))


def is_current(root: Path) -> bool:
    """Whether the leaderboard is there, and no result was added, replaced or removed since it was written."""
    files = [leaderboard_file(root, suffix) for suffix in SUFFIXES]
    return all(path.is_file() for path in files) and meta(mark(root)) in files[-1].read_text("utf-8", "replace")


def meta(value: str) -> str:
    """The element of the page that holds the mark."""
    return f'<meta name="results" content="{value}">'


def _sources(root: Path) -> Iterator[Path]:
    for name in _MADE:
        yield from root.glob(f"data/*/experiments/*/{name}")
    # Not files that are only being written, whose names begin with a dot.
    yield from (root / "submissions").glob("*/[!.]*.json")
