"""What was uploaded: a record beside the submissions, and the scores in the receipts.

A submission is known by its *mark*, the first 16 digits of its CSV's SHA-256. The mark stands in the message that goes
to Kaggle, so an upload is recognised even where the record of it was lost, and the same CSV is never uploaded twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pipeline import artifacts
from pipeline.artifacts import Manifest, results
from pipeline.data.sources.kaggle import Submission
from pipeline.system import atomic, disk

MARK = 16


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One uploaded CSV."""

    mark: str
    experiment: str
    ref: int
    """The number under which Kaggle knows it."""
    date: str
    message: str
    status: str = "pending"
    """``pending``, ``complete`` or ``error``."""
    public: float | None = None
    private: float | None = None
    error: str = msgspec.field(default="", name="fault")

    @property
    def scores(self) -> str:
        """As people say it."""
        if self.status == "error":
            return f"Kaggle could not score it: {self.error or 'no reason given'}"
        if self.status != "complete":
            return "no score yet"
        scores = {"public": self.public, "private": self.private}
        told = [f"{kind} {score:.5f}" for kind, score in scores.items() if score is not None]
        return ", ".join(told) or "scored, but the scores are not shown"


def upload_of(submission: Submission, mark: str, experiment: str) -> Upload:
    """What Kaggle says of a submission, as the record of an upload."""
    return Upload(
        mark=mark,
        experiment=experiment,
        ref=submission.ref,
        date=submission.date,
        message=submission.message,
        status=submission.status,
        public=submission.public,
        private=submission.private,
        error=submission.error,
    )


def find(folder: Path, mark: str) -> Upload | None:
    """The record of a CSV's upload.

    Args:
        folder: of the dataset's submissions.
        mark: of the CSV.

    Raises:
        OSError: the disk failed: with the record taken for a missing one, the CSV would be uploaded again.
    """
    try:
        return msgspec.json.decode((_records(folder) / f"{mark}.json").read_bytes(), type=Upload)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        if disk.failure(error):
            raise
        return None


def keep(folder: Path, upload: Upload) -> None:
    """Record an upload, and write what is known of it into the receipt of each experiment with that CSV."""
    path = _records(folder) / f"{upload.mark}.json"
    atomic.write_bytes(path, msgspec.json.format(msgspec.json.encode(upload), indent=2))
    for receipt, manifest in receipts(folder):
        if mark_of(manifest) == upload.mark:
            artifacts.update_result(receipt, {"kaggle": _told(upload)})


def receipts(folder: Path) -> list[tuple[Path, Manifest]]:
    """The receipts of a dataset's submissions, in the order of their names; those that cannot be used are left out."""
    found = [(path, artifacts.read_manifest(path)) for path in sorted(folder.glob("*.json"))]
    return [(path, manifest) for path, manifest in found if manifest is not None and _is_receipt(manifest)]


def _is_receipt(manifest: Manifest) -> bool:
    one = manifest.artifact == "submit" and len(manifest.outputs) == 1
    return one and not results.error(manifest.result, results.Listed)


def mark_of(manifest: Manifest) -> str:
    """The mark of the CSV that a receipt belongs to."""
    return next(iter(manifest.outputs.values())).sha256[:MARK]


def _records(folder: Path) -> Path:
    return folder / "uploads"


def _told(upload: Upload) -> dict[str, Any]:
    told = msgspec.to_builtins(upload)
    return {key: told[key] for key in ("ref", "date", "message", "status", "public", "private", "fault")}
