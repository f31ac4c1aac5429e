"""The leaderboard: every validated experiment with its cross-fitted score, and which differences are significant."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import leaderboard_file
from pipeline.reporting import comparison, leaderboard_entries, leaderboard_sources
from pipeline.reporting.leaderboard_entries import Entry
from pipeline.reporting.pages import drawing, render, shown
from pipeline.system.atomic import write_text


def write(root: Path) -> None:
    """Write ``submissions/leaderboard.csv``, ``.md`` and ``.html`` with all validated experiments.

    Args:
        root: the folder of ``data/`` and ``submissions/``.
    """
    mark = leaderboard_sources.mark(root)  # before anything is read: what is made meanwhile is not yet shown
    entries = leaderboard_entries.read(root)
    rows = [entry.row for entry in entries]
    write_text(leaderboard_file(root, ".csv"), as_csv(rows))
    matrices = comparison.matrices(entries)
    text = as_markdown(rows) + "".join(
        f"\nPaired comparison on {name}\n\n{as_markdown(matrix)}" for name, matrix in matrices.items()
    )
    write_text(leaderboard_file(root, ".md"), text)
    # Last: its mark says that all three are written.
    write_text(leaderboard_file(root, ".html"), _page(entries, matrices, mark))


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV text."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else ["experiment"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    if not rows:
        return "nothing was validated yet\n"
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(shown(value, name) for name, value in row.items()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def columns(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of the page's first table, which matter most."""
    return {
        "experiment": row["experiment"],
        "dataset": row["dataset"],
        "CV": row["CV"],
        "interval": f"{row['low']:.3f} to {row['high']:.3f}",
        "public": row["public"],
        "private": row["private"],
        "CV - score": row["CV - test"],
        "minutes": row["minutes"],
    }


def _page(entries: Sequence[Entry], matrices: dict[str, list[dict[str, Any]]], mark: str) -> str:
    rows = [entry.row for entry in entries]
    points = [
        (row["experiment"], row["CV"], row["CV"] - row["CV - test"]) for row in rows if row["CV - test"] is not None
    ]
    drawings = []
    if points:
        from pipeline.reporting.figures import against_leaderboard

        caption = "a point below the dotted line did worse on the test tiles than in CV"
        drawings.append(drawing(against_leaderboard(points), caption))
    return render(
        "leaderboard",
        title="Leaderboard",
        meta=leaderboard_sources.meta(mark),
        rows=[columns(row) for row in rows],
        every=rows,
        links=[entry.report for entry in entries],
        drawings=drawings,
        matrices=matrices,
    )
