"""Warnings about results that are valid but useless, for the terminal and the reports.

Works on the plain values of manifests and imports nothing heavy, so that a command with nothing to do repeats them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPECTED_EMPTY = 3
"""A CSV with salt in every tile causes a warning where at least this many test tiles are expected to hold none."""


def of_score(cv: Mapping[str, Any]) -> list[str]:
    """Warn about a cross-fitted score that is no better than that of empty masks.

    Args:
        cv: ``Validation.as_dict()``; earlier versions wrote it without ``nothing``, which causes no warning.

    Returns:
        Texts without "warning:", none for a good score.
    """
    nothing = cv.get("nothing")
    if nothing is None or cv["score"] > nothing + 1e-9:
        return []
    return [
        f"CV {cv['score']:.4f} is not above {nothing:.4f}, the score of predicting no salt in any tile: these "
        "predictions are worth nothing"
    ]


def of_submission(result: Mapping[str, Any]) -> list[str]:
    """Warn about a CSV with salt in no tile or in every one.

    Args:
        result: of a receipt.

    Returns:
        Texts without "warning:".
    """
    count, salted = result["tiles"], result["tiles_with_salt"]
    if not salted:
        return [f"the CSV predicts no salt in any of the {count:,} test tiles"]
    if result.get("salt") == 1:
        return [f"the CSV predicts salt in every pixel of the {count:,} test tiles"]
    if salted == count and count * (result["cv"].get("nothing") or 0) >= EXPECTED_EMPTY:
        return [
            f"the CSV predicts salt in every one of the {count:,} test tiles, though {result['cv']['nothing']:.0%} of "
            "the labelled tiles hold none"
        ]
    return []


def sole_member(votes: Mapping[str, int]) -> str | None:
    """The only member of a blend with any weight, which makes the blend that member; None for any other result.

    Args:
        votes: name -> weight of each member.
    """
    chosen = [name for name, vote in votes.items() if vote]
    return chosen[0] if len(votes) > 1 and len(chosen) == 1 else None
