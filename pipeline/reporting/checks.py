"""Warnings about results that are valid but useless, for the terminal and the reports.

Works on the plain values of manifests and imports nothing heavy, so that a command with nothing to do repeats them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipeline.system.progress import fold_names

EXPECTED_EMPTY = 3
"""A CSV with salt in every tile causes a warning where at least this many test tiles are expected to hold none."""


SALT_EVERYWHERE = 0.95
"""Share of salt in the out-of-fold predictions from which on they cause a warning, unless the truth has half of it."""
FOLD_BELOW = 0.05
"""A fold causes a warning where its score is below that of the others by more than this, ..."""
COVERAGE_FACTOR = 2.0
"""Test tiles cause a warning where more than this many times the labelled tiles' coverage, or less than one part in
this many, is predicted, ..."""
STANDARD_ERRORS = 3.0
"""... and by more than this many standard errors of the mean over as many tiles."""


def of_score(cv: Mapping[str, Any]) -> list[str]:
    """Warn about out-of-fold predictions that are worth nothing, or of which one fold is.

    Args:
        cv: ``Validation.as_dict()``; what earlier versions wrote without a value causes no warning.

    Returns:
        Texts without "warning:", none for a good score.
    """
    found = [_worthless(cv), _constant(cv), _everywhere(cv), *_low_folds(cv)]
    return [text for text in found if text]


def _worthless(cv: Mapping[str, Any]) -> str:
    nothing = cv.get("nothing")
    # Where no tile has salt, predicting none is perfect.
    if nothing is None or cv["score"] == 1 or cv["score"] > nothing + 1e-9:
        return ""
    return (
        f"CV {cv['score']:.4f} is not above {nothing:.4f}, the score of predicting no salt in any tile: these "
        "predictions are worth nothing"
    )


def _constant(cv: Mapping[str, Any]) -> str:
    folds = cv.get("constant_folds")
    if not folds:
        return ""
    return (
        f"{fold_names(folds)}: one and the same probability in every pixel of every tile; the network has learnt "
        "nothing, or its values are not numbers (train again with a lower train.learning_rate, or "
        "train.precision=float32)"
    )


def _everywhere(cv: Mapping[str, Any]) -> str:
    predicted, coverage = cv.get("predicted"), cv.get("coverage")
    if predicted is None or coverage is None or predicted < SALT_EVERYWHERE or coverage > predicted / 2:
        return ""
    return (
        f"salt is predicted in {predicted:.0%} of all pixels of the labelled tiles, and {coverage:.0%} of them are salt"
    )


def _low_folds(cv: Mapping[str, Any]) -> list[str]:
    """Folds far below the mean of the others: by ``FOLD_BELOW`` and ``STANDARD_ERRORS``."""
    scores, texts = cv.get("folds", {}), []
    for fold, score in scores.items():
        others = [other for name, other in scores.items() if name != fold]
        if not others:
            continue
        mean, each = sum(others) / len(others), cv["tiles"] / len(scores)
        error = _deviation(mean) * math.sqrt(1 / max(each, 1) + 1 / max(each * len(others), 1))
        if mean - score > max(FOLD_BELOW, STANDARD_ERRORS * error):
            texts.append(
                f"fold {fold} scores {score:.4f}, far below the {mean:.4f} of the others; look at its learning "
                "curve in the report (another train.seed is another experiment, for all folds)"
            )
    return texts


def _deviation(mean: float) -> float:
    """The largest standard deviation that values from 0 to 1 with a mean can have."""
    return math.sqrt(max(mean * (1 - mean), 0.0))


def of_submission(result: Mapping[str, Any]) -> list[str]:
    """Warn about a CSV with salt in no tile, in every one, or in far more or less of them than training's have.

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
    return _other_coverage(result.get("salt"), result["cv"].get("coverage"), count)


def _other_coverage(predicted: float | None, labelled: float | None, tiles: int) -> list[str]:
    if predicted is None or labelled is None:
        return []
    error = _deviation(labelled) / math.sqrt(max(tiles, 1))
    within = labelled / COVERAGE_FACTOR <= predicted <= labelled * COVERAGE_FACTOR
    if within or abs(predicted - labelled) <= STANDARD_ERRORS * error:
        return []
    return [
        f"the CSV predicts salt in {predicted:.1%} of all pixels of the test tiles, far from the {labelled:.1%} of the "
        "labelled tiles: the test tiles differ from those, or were read in another way"
    ]


def sole_member(votes: Mapping[str, int]) -> str | None:
    """The only member of a blend with any weight, which makes the blend that member; None for any other result.

    Args:
        votes: name -> weight of each member.
    """
    chosen = [name for name, vote in votes.items() if vote]
    return chosen[0] if len(votes) > 1 and len(chosen) == 1 else None
