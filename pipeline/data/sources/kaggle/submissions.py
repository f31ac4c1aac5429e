"""Upload a submission, and list past ones with their scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import UserError
from pipeline.data.sources.kaggle.client import call_kaggle, sign_in
from pipeline.data.sources.kaggle.competition import COMPETITION

PAGES, PER_PAGE = 10, 100
"""Most pages of submissions that are listed, and submissions on each."""


@dataclass(frozen=True)
class Submission:
    """One past submission, as Kaggle lists it."""

    ref: int
    date: str
    """ISO 8601, to the second, UTC."""
    file: str
    message: str
    status: str
    """``pending``, ``complete`` or ``error``."""
    public: float | None
    private: float | None
    error: str
    """Why Kaggle could not score it."""


def upload(path: Path, message: str) -> int:
    """Upload a submission; returns its number at Kaggle.

    Raises:
        UserError: Kaggle did not accept it; the line gives Kaggle's reason.
    """
    api = sign_in()
    with call_kaggle("upload"):
        # Quiet, because its progress bar would mix with ours; it raises nothing where the file did not arrive.
        answer = api.competition_submit(str(path), message, COMPETITION, quiet=True)
    if not answer.ref:
        reason = " ".join(str(answer.message or "no reason given").split())[:200]
        raise UserError(f"Kaggle did not accept the submission ({reason}); run the same command again")
    return int(answer.ref)


def past_submissions(longest: float = math.inf) -> list[Submission]:
    """The user's submissions to the competition, the newest first.

    Args:
        longest: seconds without an answer after which a call ends, where that is less than the usual timeout.

    Raises:
        UserError: they cannot be listed.
    """
    api = sign_in(longest)
    found: list[Submission] = []
    for page in range(1, PAGES + 1):
        with call_kaggle("list of submissions", longest):
            listed = api.competition_submissions(COMPETITION, page_number=page, page_size=PER_PAGE) or []
        found += [_submission(each) for each in listed]
        if len(listed) < PER_PAGE:
            break
    return found


def _submission(each: Any) -> Submission:
    return Submission(
        ref=int(each.ref),
        date=each.date.isoformat(timespec="seconds") if each.date else "",
        file=each.file_name or "",
        message=each.description or "",
        status=each.status.name.lower(),
        public=_score(each.public_score),
        private=_score(each.private_score),
        error=each.error_description or "",
    )


def _score(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
