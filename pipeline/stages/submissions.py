"""The competition's past submissions beside our receipts: CV against public and private score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.artifacts import Manifest
from pipeline.config.datasets import TGS
from pipeline.data.sources import kaggle
from pipeline.reporting import leaderboard
from pipeline.submission import receipts, uploads
from pipeline.system.progress import echo

COLUMNS = ("date", "ref", "experiment", "CV", "public", "private", "CV - private", "status")


def run(root: Path) -> None:
    """Print the table, and write scores that are new into receipts and leaderboard.

    Args:
        root: the folder of ``data/`` and ``submissions/``.

    Raises:
        UserError: Kaggle does not tell.
    """
    folder = root / "submissions" / TGS.name
    listed = kaggle.past_submissions()
    by_mark = {receipts.mark_of(manifest): manifest for _, manifest in receipts.read(folder)}
    rows, seen = [], set()
    for each in listed:
        mark = next((word for word in each.message.split() if word in by_mark or uploads.find(folder, word)), "")
        seen.add(mark)
        if mark:
            _learn(folder, mark, each, by_mark.get(mark))
        rows.append(_row(each, by_mark.get(mark)))
    rows += [_unsent(manifest) for mark, manifest in by_mark.items() if mark not in seen]
    if by_mark:
        leaderboard.write(root)
    echo(_table(rows) if rows else "no submissions yet: make submit")


def _learn(folder: Path, mark: str, each: kaggle.Submission, receipt: Manifest | None) -> None:
    known = uploads.find(folder, mark)
    if known is not None and known.ref != each.ref:
        return  # an older upload of the same CSV
    experiment = receipt.result["experiment"] if receipt else (known.experiment if known else "")
    fresh = uploads.upload_of(each, mark, experiment)
    if fresh != known:
        uploads.keep(folder, fresh)


def _row(each: kaggle.Submission, receipt: Manifest | None) -> dict[str, str]:
    score: Any = receipt.result["cv"]["score"] if receipt else None
    gap = f"{score - each.private:+.4f}" if score is not None and each.private is not None else ""
    return dict(
        zip(
            COLUMNS,
            (
                each.date.replace("T", " "),
                str(each.ref),
                receipt.result["experiment"] if receipt else f"({each.file})",
                _shown(score),
                _shown(each.public),
                _shown(each.private),
                gap,
                each.status + (f": {each.error}" if each.error else ""),
            ),
            strict=True,
        )
    )


def _unsent(receipt: Manifest) -> dict[str, str]:
    shown = {
        "experiment": receipt.result["experiment"],
        "CV": _shown(receipt.result["cv"]["score"]),
        "status": "not uploaded",
    }
    return {column: shown.get(column, "") for column in COLUMNS}


def _shown(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"


def _table(rows: list[dict[str, str]]) -> str:
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in COLUMNS}
    lines = [{column: column for column in COLUMNS}, *rows]
    return "\n".join("  ".join(line[column].ljust(widths[column]) for column in COLUMNS).rstrip() for line in lines)
