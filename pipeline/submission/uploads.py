"""Records of uploads: one beside the submissions for each CSV, and the scores in the receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pipeline import artifacts
from pipeline.data.sources.kaggle import Submission
from pipeline.submission import receipts
from pipeline.system import atomic, disk


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One uploaded CSV."""

    mark: str
    """Of the CSV, see ``receipts``."""
    experiment: str
    ref: int
    """Kaggle's number of the submission."""
    date: str
    message: str
    status: str = "pending"
    """``pending``, ``complete`` or ``error``."""
    public: float | None = None
    private: float | None = None
    error: str = msgspec.field(default="", name="fault")

    @property
    def scores(self) -> str:
        """The scores as text, or why there are none."""
        if self.status == "error":
            return f"Kaggle could not score it: {self.error or 'no reason given'}"
        if self.status != "complete":
            return "no score yet"
        scores = {"public": self.public, "private": self.private}
        known = [f"{kind} {score:.5f}" for kind, score in scores.items() if score is not None]
        return ", ".join(known) or "scored, but the scores are not shown"


def upload_of(submission: Submission, mark: str, experiment: str) -> Upload:
    """The record of a submission that Kaggle lists."""
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
    """Read the record of a CSV's upload.

    Args:
        folder: of the dataset's submissions.
        mark: of the CSV.

    Returns:
        The record, or None where there is none that can be read.

    Raises:
        OSError: the disk failed. Treating its record as missing would upload the CSV again.
    """
    try:
        return msgspec.json.decode((_records(folder) / f"{mark}.json").read_bytes(), type=Upload)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        if disk.failure(error):
            raise
        return None


def keep(folder: Path, upload: Upload) -> None:
    """Record an upload, and add it to the receipt of each experiment with the same CSV."""
    path = _records(folder) / f"{upload.mark}.json"
    atomic.write_bytes(path, msgspec.json.format(msgspec.json.encode(upload), indent=2))
    for receipt, manifest in receipts.read(folder):
        if receipts.mark_of(manifest) == upload.mark:
            artifacts.update_result(receipt, {"kaggle": _for_receipt(upload)})


def _records(folder: Path) -> Path:
    return folder / "uploads"


def _for_receipt(upload: Upload) -> dict[str, Any]:
    plain = msgspec.to_builtins(upload)
    return {key: plain[key] for key in ("ref", "date", "message", "status", "public", "private", "fault")}
