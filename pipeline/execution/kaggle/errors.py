"""Lines for what goes wrong with a kernel: what happened, and what to do."""

from __future__ import annotations

import re
from typing import Any

from pipeline.data.sources.kaggle import COMPETITION, PAGE, TOKENS
from pipeline.data.sources.kaggle.messages import explain_http_error, reason_of

_PHONE = f"verify your phone number on {TOKENS}, which Kaggle asks for before it gives a GPU or internet"
_AT_HOME = "or train without Kaggle's GPU: ACCELERATOR=none there, or leave EXECUTOR=kaggle out"
_REFUSALS = (
    (r"session count|concurrent|already running", "as many kernels run as Kaggle allows; wait for one, or stop it on "
     "https://www.kaggle.com/code, and run the same command again"),
    (r"quota", f"the GPU hours of this week are used up; run the same command again next week, {_AT_HOME}"),
    (r"phone|verif", f"{_PHONE}; then run the same command again"),
    (r"rules|competition", f"accept the competition's rules on {PAGE}/rules; then run the same command again"),
    (r"too large|maximum.*(size|length)", "the script is too large; remove large files from pipeline/experiments"),
)  # fmt: skip
"""Patterns of what Kaggle says when it refuses a kernel, and what to do."""
_FAILURES = (
    (r"out of memory|\bOOM\b|ResourceExhausted|RESOURCE_EXHAUSTED|more memory than is available|terminated abruptly",
     'it ran out of memory; smaller batches need less, for example SET="train.batch_size={half}" (with other results), '
     "or one fold at a time: FOLDS_PER_KERNEL=1"),
    (r"no internet", f"it had no internet; {_PHONE}"),
    (r"no GPU", f"it had no GPU that can be used; {_PHONE}, {_AT_HOME}"),
    (r"rules are not accepted", f"accept the competition's rules on {PAGE}/rules"),
    (r"other tiles than at home", f"the tiles here are not those of {COMPETITION}; leave EXECUTOR=kaggle out for them"),
)  # fmt: skip
"""Patterns of why a kernel failed, and what to do."""
BUSY = _REFUSALS[0][1]
_KERNEL = {
    403: f"{_PHONE}, and accept the competition's rules on {PAGE}/rules",
    404: "Kaggle knows no such kernel; run the same command again",
}


def explain_kernel_error(call: str, error: Any) -> str:
    """Return one line for an HTTP error of a call about a kernel; arguments as in ``explain_http_error``."""
    reason = reason_of(error)
    return (
        explain_refusal(reason, "")
        if reason and _match(_REFUSALS, reason)
        else explain_http_error(call, error, _KERNEL)
    )


def explain_refusal(reason: str, refresh: str) -> str:
    """Return one line for a kernel that Kaggle did not start.

    Args:
        reason: as Kaggle gives it.
        refresh: when the GPU hours are given again; empty where that is not known.
    """
    advice = _match(_REFUSALS, reason) or "fix that and run the same command again"
    if refresh and "next week" in advice:
        advice = advice.replace("next week", f"after {refresh}")
    return f"Kaggle did not start the kernel: {advice} (Kaggle says: {_one_line(reason)})"


def is_busy(reason: str) -> bool:
    """Whether a kernel was refused because others run."""
    return _match(_REFUSALS, reason) == BUSY


def explain_failure(page: str, reason: str, batch_size: int) -> str:
    """Return one line for a kernel that failed.

    Args:
        page: the kernel's address.
        reason: the script's own reason, Kaggle's message, or the last lines of the log.
        batch_size: of the training.
    """
    advice = _match(_FAILURES, reason).replace("{half}", str(max(1, batch_size // 2)))
    after = f"{advice}; then the same command starts another kernel" if advice else (
        f"see its log on {page}; the same command starts another kernel"
    )  # fmt: skip
    return f"kernel {page.removeprefix('https://www.kaggle.com/code/')} failed ({_one_line(reason)}): {after}"


def _match(patterns: tuple[tuple[str, str], ...], text: str) -> str:
    return next((advice for pattern, advice in patterns if re.search(pattern, text, re.IGNORECASE)), "")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
