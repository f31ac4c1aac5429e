"""Messages for the HTTP errors of Kaggle: what happened, and what to do."""

from __future__ import annotations

from typing import Any

from pipeline.data.sources.kaggle.competition import COMPETITION, PAGE, TOKENS


def explain_http_error(call: str, error: Any) -> str:
    """Return one line for an HTTP error.

    Args:
        call: what was called, a noun.
        error: a ``requests.HTTPError``.
    """
    status = error.response.status_code if error.response is not None else 0
    reason = _reason(error)
    known = {
        401: f"Kaggle does not accept these credentials; make a new token on {TOKENS}",
        403: f"Kaggle refuses the {call}: accept the competition's rules first, on {PAGE}/rules",
        404: f"Kaggle knows no competition {COMPETITION}; check whether {PAGE} still exists",
        429: "Kaggle limits the number of requests; wait some minutes and run the same command again",
    }
    if status in known:
        return known[status] + (f" (Kaggle says: {reason})" if reason and status in (403, 429) else "")
    if 400 <= status < 500:
        return f"Kaggle refuses the {call}: {reason or f'status {status}'}; fix that and run the same command again"
    return f"Kaggle's server failed (status {status}) during the {call}; run the same command again in a while"


def _reason(error: Any) -> str:
    """The reason in Kaggle's answer; the text of the exception itself would contain the address."""
    try:
        return " ".join(str(error.response.json()["message"]).split())[:200]
    except (AttributeError, ValueError, KeyError, TypeError):
        return ""
