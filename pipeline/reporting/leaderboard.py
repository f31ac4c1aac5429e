"""The leaderboard: every validated experiment with its cross-fitted score, and which differences are significant."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.reporting import comparison, leaderboard_entries
from pipeline.reporting.pages import figures, page, shown, table
from pipeline.system.atomic import write_text


def write(root: Path) -> None:
    """Write ``submissions/leaderboard.csv``, ``.md`` and ``.html`` with all validated experiments.

    Args:
        root: the folder of ``data/`` and ``submissions/``.
    """
    entries = leaderboard_entries.read(root)
    rows = [entry.row for entry in entries]
    folder = root / "submissions"
    write_text(folder / "leaderboard.csv", as_csv(rows))
    matrices = comparison.matrices(entries)
    text = as_markdown(rows) + "".join(
        f"\nPaired comparison on {name}\n\n{as_markdown(matrix)}" for name, matrix in matrices.items()
    )
    write_text(folder / "leaderboard.md", text)
    write_text(folder / "leaderboard.html", _page(rows, matrices))


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
    lines += ["| " + " | ".join(shown(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _page(rows: list[dict[str, Any]], matrices: dict[str, list[dict[str, str]]]) -> str:
    about = (
        "CV is cross-fitted: threshold, smallest area and rules for a fold are chosen on the other folds. Low and "
        "high bound its 95 % bootstrap interval over tiles. A click on a column's head sorts by it."
    )
    sections = [("", f'<p class="note">{about}</p>{table(rows, sortable=True)}')]
    points = [
        (row["experiment"], row["CV"], row["CV"] - row["CV - test"]) for row in rows if row["CV - test"] is not None
    ]
    if points:
        from pipeline.reporting.figures import against_leaderboard

        drawn = figures(
            (against_leaderboard(points), "a point below the dotted line did worse on the test tiles than in CV")
        )
        sections.append(("CV against test", drawn))
    for dataset, matrix in matrices.items():
        note = (
            '<p class="note">Row against column, on the tiles that both predicted out of fold: mean difference of the '
            "tiles' scores and its 95 % bootstrap interval. Better or worse where the interval leaves out 0.</p>"
        )
        sections.append((f"Paired comparison on {dataset}", note + table(matrix)))
    return page("Leaderboard", sections, wide=True)
