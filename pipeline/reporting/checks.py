"""Results that are valid but hardly what anybody wants: what a command and a report warn of.

Works on the plain values of manifests and imports nothing, so that a command with nothing to do can say it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPECTED_EMPTY = 3
"""Test tiles that should hold no salt, from which on a CSV with salt in every tile is worth a warning."""


def of_score(cv: Mapping[str, Any]) -> list[str]:
    """Warnings about a cross-fitted score.

    Args:
        cv: ``Validation.as_dict()``; where an earlier version wrote it, without ``nothing``, there is no warning.
    """
    nothing = cv.get("nothing")
    if nothing is None or cv["score"] > nothing + 1e-9:
        return []
    return [
        f"CV {cv['score']:.4f} is not above {nothing:.4f}, the score of predicting no salt in any tile: these "
        "predictions are worth nothing"
    ]


def of_submission(result: Mapping[str, Any]) -> list[str]:
    """Warnings about a CSV.

    Args:
        result: of a receipt.
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
    """The member of a blend that has all the weight, so that the blend is that member; None of any other result."""
    chosen = [name for name, vote in votes.items() if vote]
    return chosen[0] if len(votes) > 1 and len(chosen) == 1 else None
