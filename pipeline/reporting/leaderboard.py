"""One's own leaderboard: every experiment with its cross-fitted score, and which differences are more than luck."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import Manifest, measure, read_manifest, results
from pipeline.reporting.checks import sole_member
from pipeline.reporting.pages import figures, page, shown, table
from pipeline.scoring import bootstrap
from pipeline.system import disk
from pipeline.system.atomic import write_text
from pipeline.system.progress import echo

SCORES = "scores.csv"
COMPARED = 12
"""Experiments that are compared with each other, from the top; every one more adds a row and a column."""


@dataclass(frozen=True)
class Entry:
    """One experiment on one dataset."""

    row: dict[str, Any]
    scores: dict[str, float]
    """Tile id -> cross-fitted score."""


def write(root: Path) -> None:
    """Write ``submissions/leaderboard.csv``, ``.md`` and ``.html`` over everything that was validated.

    Args:
        root: the folder of ``data/`` and ``submissions/``.
    """
    entries = read(root)
    rows = [entry.row for entry in entries]
    folder = root / "submissions"
    write_text(folder / "leaderboard.csv", as_csv(rows))
    matrices = compared(entries)
    text = as_markdown(rows) + "".join(
        f"\nPaired comparison on {name}\n\n{as_markdown(matrix)}" for name, matrix in matrices.items()
    )
    write_text(folder / "leaderboard.md", text)
    write_text(folder / "leaderboard.html", _page(rows, matrices))


def read(root: Path) -> list[Entry]:
    """Every experiment that was validated, the best cross-fitted score of each dataset first.

    A blend in which one member has all the weight is left out: it is that member. Test answers and Kaggle's scores come
    from the receipt, and only where it belongs to that very validation.
    """
    entries = []
    for path in sorted((root / "data").glob("*/experiments/*/cv.json")):
        manifest = read_manifest(path)
        if manifest is None or manifest.artifact != "validate" or results.error(manifest.result, results.Scored):
            continue
        result = manifest.result
        if sole_member(result.get("votes", {})):
            continue  # its only member has a row already
        receipt = read_manifest(root / "submissions" / result["dataset"] / f"{result['experiment']}.json")
        own = receipt is not None and receipt.inputs.get("validate") == manifest.fingerprint
        known = receipt is not None and own and not results.error(receipt.result, results.Answered)
        row = _row(result, receipt.result if receipt is not None and known else {})
        entries.append(Entry(row, _scores(path.parent / SCORES, manifest)))
    return sorted(entries, key=lambda entry: (entry.row["dataset"], -entry.row["CV"]))


def _scores(path: Path, manifest: Manifest) -> dict[str, float]:
    """Tile id -> cross-fitted score; empty, and a line says so, where the file is not what its manifest says."""
    try:
        if measure(path) != manifest.outputs.get(SCORES):
            raise ValueError
        with path.open(newline="", encoding="utf-8") as stream:
            return {each["id"]: float(each["score"]) for each in csv.DictReader(stream)}
    except (OSError, KeyError, ValueError) as error:
        if disk.failure(error):
            raise
        echo(f"{path}: is damaged, so nothing is compared with it; make it again: make clean-validate, make validate")
        return {}


def _row(result: dict[str, Any], receipt: dict[str, Any]) -> dict[str, Any]:
    cv, training, kaggle = result["cv"], result.get("training", {}), receipt.get("kaggle", {})
    known = kaggle.get("private") if kaggle.get("private") is not None else receipt.get("score")
    return {
        "experiment": result["experiment"],
        "dataset": result["dataset"],
        "CV": cv["score"],
        "low": cv["interval"][0],
        "high": cv["interval"][1],
        "at 0.5": cv["score_at_half"],
        "threshold": round(cv["threshold"], 3),
        "min area": cv["min_area"],
        "rules": ", ".join(cv.get("rules", ())),
        "IoU": cv["iou"],
        "Dice": cv["dice"],
        "empty accuracy": cv["empty_accuracy"],
        "minutes": training.get("minutes"),
        "parameters": training.get("parameters"),
        "tiles/s": training.get("tiles_per_second"),
        "test answers": receipt.get("score"),
        "public": kaggle.get("public"),
        "private": kaggle.get("private"),
        "CV - test": cv["score"] - known if known is not None else None,
        "folds": " ".join(f"{fold}:{score:.3f}" for fold, score in cv["folds"].items()),
    }


def difference(one: dict[str, float], other: dict[str, float]) -> tuple[float, float, float, int]:
    """Mean difference of two experiments' scores on the tiles that both have, its 95 % bootstrap interval, tiles.

    The tiles are paired: what makes a tile hard for both does not blur the difference.
    """
    common = sorted(one.keys() & other.keys())
    if not common:
        return float("nan"), float("nan"), float("nan"), 0
    mean, low, high = bootstrap.paired([one[each] for each in common], [other[each] for each in common])
    return mean, low, high, len(common)


def verdict(one: dict[str, float], other: dict[str, float]) -> str:
    """``better``, ``worse`` or ``no difference that shows``, with the difference and its interval."""
    mean, low, high, tiles = difference(one, other)
    if not tiles:
        return "no tile in common"
    word = "better" if low > 0 else "worse" if high < 0 else "no difference that shows"
    return f"{word}: {mean:+.4f} ({low:+.4f} to {high:+.4f})"


def compared(entries: Sequence[Entry]) -> dict[str, list[dict[str, str]]]:
    """For each dataset with two experiments or more: a row per experiment, how it does against each other one."""
    found = {}
    for dataset in dict.fromkeys(entry.row["dataset"] for entry in entries):
        those = [entry for entry in entries if entry.row["dataset"] == dataset][:COMPARED]
        if len(those) > 1:
            found[dataset] = [
                {"experiment": mine.row["experiment"]}
                | {
                    f"against {other.row['experiment']}": "" if other is mine else verdict(mine.scores, other.scores)
                    for other in those
                }
                for mine in those
            ]
    return found


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
