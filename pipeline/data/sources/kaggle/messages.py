"""Messages for the HTTP errors of Kaggle: what happened, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.data.sources.kaggle.competition import COMPETITION, PAGE, TOKENS

_COMPETITION = {
    403: f"accept the competition's rules first, on {PAGE}/rules",
    404: f"Kaggle knows no competition {COMPETITION}; check whether {PAGE} still exists",
}
"""What to do where a call about the competition is refused."""


def explain_http_error(call: str, error: Any, advice: Mapping[int, str] = _COMPETITION) -> str:
    """Return one line for an HTTP error.

    Args:
        call: what was called, a noun.
        error: a ``requests.HTTPError``.
        advice: what to do where the status is 403 (follows the refusal) or 404 (a whole sentence).
    """
    status = http_status(error)
    reason = reason_of(error)
    known = {
        401: f"Kaggle does not accept these credentials; make a new token on {TOKENS}",
        403: f"Kaggle refuses the {call}: {advice[403]}",
        404: advice[404],
        429: "Kaggle limits the number of requests; wait some minutes and run the same command again",
    }
    if status in known:
        return known[status] + (f" (Kaggle says: {reason})" if reason and status in (403, 429) else "")
    if 400 <= status < 500:
        return f"Kaggle refuses the {call}: {reason or f'status {status}'}; fix that and run the same command again"
    return f"Kaggle's server failed (status {status}) during the {call}; run the same command again in a while"


def http_status(error: Any) -> int:
    """The status code of a ``requests.HTTPError``; 0 where it has none."""
    return error.response.status_code if error.response is not None else 0


def is_temporary(error: Any) -> bool:
    """Whether the same call may succeed later: too many requests, or a failure of the server."""
    return http_status(error) == 429 or http_status(error) >= 500


def reason_of(error: Any) -> str:
    """The reason in Kaggle's answer; the text of the exception itself would contain the address."""
    try:
        return " ".join(str(error.response.json()["message"]).split())[:200]
    except (AttributeError, ValueError, KeyError, TypeError):
        return ""
