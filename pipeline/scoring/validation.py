"""Validation: the cross-fitted score of the out-of-fold predictions, and the choices for the test tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.config import SubmitSettings, UserError
from pipeline.scoring import blend, bootstrap, metric, rule_search, thresholding
from pipeline.scoring.blend import Votes
from pipeline.scoring.images import is_constant
from pipeline.scoring.neighbors import Neighbors
from pipeline.scoring.postprocess import ALL, PLAIN, PostProcessing
from pipeline.scoring.rule_search import Gain, Trial
from pipeline.scoring.thresholding import Choice, Counts

PARTS = 5
"""Parts that the tiles of a single fold are split into, to cross-fit within it."""


@dataclass(frozen=True)
class Validation:
    """Result of validating an experiment or a blend on out-of-fold predictions.

    The cross-validated score is cross-fitted: weights, threshold, smallest area and rules for one fold's tiles are
    chosen on the other folds' tiles, so that no tile influences how it is scored.
    """

    choice: PostProcessing
    """Chosen on all tiles; used for the test tiles."""
    gains: list[Gain]
    """Gain of each rule on all tiles: first the rules taken, in their order, then those that were tried last."""
    votes: Votes
    """Weight of each member of a blend, chosen on all tiles; (1,) for a single experiment."""
    score: float
    """Cross-fitted."""
    without_rules: float
    """Cross-fitted, with the same thresholds and smallest areas but no other rule."""
    folds: dict[int, float]
    """Cross-fitted score of each fold."""
    at_half: float
    """Score at a threshold of 0.5 with every mask kept; the weights of a blend are cross-fitted."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the cross-fitted score over tiles."""
    tile_scores: np.ndarray
    """(n,) float64, cross-fitted."""
    tile_iou: np.ndarray
    """(n,) float64, with the same thresholds, areas and rules; 1 where both masks are empty."""
    predicted_area: np.ndarray
    """(n,) int64 pixels, with the same thresholds, areas and rules."""
    dice: float
    """Mean over tiles."""
    empty_accuracy: float
    """Share of the tiles that are correctly classified as with or without salt."""
    nothing: float
    """Score of predicting no salt in any tile, which is the share of tiles without salt."""
    coverage: float
    """Share of salt in all pixels of the truth."""
    predicted: float
    """Share of salt in all pixels of the predictions, with the same thresholds, areas and rules as the score."""
    constant_folds: tuple[int, ...]
    """Folds with salt whose probabilities have one value in all pixels of all tiles, as those of NaN have."""

    @property
    def spread(self) -> float:
        """Standard deviation of the folds' scores; 0 for one fold."""
        values = list(self.folds.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Values for the manifest, as JSON holds them."""
        return {
            "score": self.score,
            "folds": {str(fold): score for fold, score in self.folds.items()},
            "spread": self.spread,
            "interval": list(self.interval),
            "score_at_half": self.at_half,
            "score_without_rules": self.without_rules,
            "threshold": self.choice.threshold,
            "min_area": self.choice.min_area,
            "rules": list(self.choice.rules),
            "gate": self.choice.gate,
            "gains": [asdict(each) for each in self.gains],
            "tiles": len(self.tile_scores),
            "iou": float(self.tile_iou.mean()),
            "dice": self.dice,
            "empty_accuracy": self.empty_accuracy,
            "nothing": self.nothing,
            "coverage": self.coverage,
            "predicted": self.predicted,
            "constant_folds": list(self.constant_folds),
        }


def validate(
    members: Sequence[np.ndarray],
    truth: np.ndarray,
    images: np.ndarray,
    fold_of_tile: np.ndarray,
    settings: SubmitSettings,
    neighbors: Neighbors | None = None,
) -> Validation:
    """Choose weights, threshold, smallest area and rules, and estimate the score without the bias of these choices.

    Args:
        members: out-of-fold probabilities of one experiment, or of each member of a blend, (n, 101, 101) uint8.
        truth: masks of the same tiles, (n, 101, 101) uint8 0/1.
        images: the same tiles, (n, 101, 101) uint8 grey values.
        fold_of_tile: (n,) int, the fold of each tile.
        settings: a threshold, smallest area or rules given there are used instead of searched.
        neighbors: of the same tiles; None where none are known.

    With a single fold its tiles are split into five parts, each scored with the choices of the other four.

    Raises:
        UserError: there is only one tile, so none that a choice for it could be made on.
    """
    folds = list(dict.fromkeys(fold_of_tile.tolist()))
    if len(truth) < 2:
        raise UserError(
            f"fold {folds[0]} has only one tile, and a score needs two; train another fold too, or lower split.folds"
        )
    groups = np.asarray(fold_of_tile) if len(folds) > 1 else np.arange(len(fold_of_tile)) % PARTS
    search = _Search(members, truth, images, groups, settings, neighbors)
    predicted, intersection = np.empty(len(truth), np.int64), np.empty(len(truth), np.int64)
    scores, without, half = np.empty(len(truth)), np.empty(len(truth)), np.empty(len(truth))
    for group in np.unique(groups):
        own = groups == group
        votes, how, _ = search.chosen(int(group))
        trial = search.trial(votes, how.threshold)
        predicted[own], intersection[own] = (areas[own] for areas in trial.areas(how))
        scores[own] = trial.scores(how)[own]
        without[own] = trial.scores(PostProcessing(how.threshold, how.min_area))[own]
        half[own] = thresholding.scores_at(search.counts(votes).take(own), 0.5, 0)
    votes, choice, gains = search.chosen(None)
    counts = search.counts(votes)
    areas = predicted + counts.truth
    empty, none = areas == 0, np.zeros_like(counts.truth)
    return Validation(
        choice=choice,
        gains=gains,
        votes=votes,
        score=float(scores.mean()),
        without_rules=float(without.mean()),
        folds={fold: float(scores[fold_of_tile == fold].mean()) for fold in folds},
        at_half=float(half.mean()),
        interval=bootstrap.interval(scores),
        tile_scores=scores,
        tile_iou=np.where(empty, 1.0, intersection / np.maximum(areas - intersection, 1)),
        predicted_area=predicted,
        dice=float(np.where(empty, 1.0, 2 * intersection / np.maximum(areas, 1)).mean()),
        empty_accuracy=metric.empty_accuracy(predicted, counts.truth),
        nothing=float(metric.scores_from_areas(none, counts.truth, none).mean()),
        coverage=float(counts.truth.sum() / truth.size),
        predicted=float(predicted.sum() / truth.size),
        constant_folds=tuple(fold for fold in folds if search.is_constant(votes, fold_of_tile == fold)),
    )


class _Search:
    """Choices for each group of tiles, made on the others; intermediate results are cached."""

    def __init__(
        self,
        members: Sequence[np.ndarray],
        truth: np.ndarray,
        images: np.ndarray,
        groups: np.ndarray,
        settings: SubmitSettings,
        neighbors: Neighbors | None,
    ) -> None:
        self._members, self._truth, self._groups, self._neighbors = members, truth, groups, neighbors
        self._constant = is_constant(images)
        self._pool = blend.Pool(members, truth)
        self._rules = None if settings.rules == "auto" else settings.rules
        self._grid: dict[str, Any] = {}
        if settings.threshold != "auto":
            self._grid["thresholds"] = (settings.threshold,)
        if settings.min_area != "auto":
            self._grid["areas"] = (settings.min_area,)
        self._mixed: dict[Votes, np.ndarray] = {}
        self._counts: dict[Votes, Counts] = {}
        self._choices: dict[Votes, dict[int, Choice]] = {}
        self._trials: dict[tuple[Votes, float], Trial] = {}

    def chosen(self, group: int | None) -> tuple[Votes, PostProcessing, list[Gain]]:
        """Choose on all tiles but a group's; with None, on all tiles."""
        chosen_on = np.ones(len(self._truth), bool) if group is None else self._groups != group
        count = len(self._members)
        choice = self._threshold_choice((1,) * count, group)
        # Rounded to the nearest twentieth, so that groups with similar thresholds share the measured blends; not to 1,
        # above which no probability is, nor to 0.
        rounded = min(max(round(20 * choice.threshold), 1), 19) / 20
        votes = blend.choose(self._pool, count, chosen_on, rounded, choice.min_area)
        choice = self._threshold_choice(votes, group)
        plain, rules = PostProcessing(choice.threshold, choice.min_area), PLAIN
        if self._neighbors is not None:
            # The mask of a tile of the group would take part in the choice through its neighbour's score.
            independent = chosen_on & ~self._neighbors.beside(~chosen_on)
            if independent.any():
                chosen_on, rules = independent, ALL
        return votes, *rule_search.choose(self.trial(votes, choice.threshold), plain, chosen_on, self._rules, rules)

    def is_constant(self, votes: Votes, rows: np.ndarray) -> bool:
        """Whether the probabilities of some tiles, given as (n,) bool, all have one value, but not their masks."""
        found, truth = self._probabilities(votes)[rows], self._truth[rows]
        return bool(found.min() == found.max() and truth.min() != truth.max())

    def trial(self, votes: Votes, threshold: float) -> Trial:
        """Scores of all tiles with these weights and this threshold."""
        key = (votes, threshold)
        if key not in self._trials:
            probabilities = self._probabilities(votes)
            self._trials[key] = Trial(
                probabilities, self._truth, self._constant, self.counts(votes), threshold, self._neighbors
            )
        return self._trials[key]

    def counts(self, votes: Votes) -> Counts:
        """Areas and intersections of all tiles with these weights."""
        if votes not in self._counts:
            self._counts[votes] = thresholding.count(self._probabilities(votes), self._truth)
        return self._counts[votes]

    def _probabilities(self, votes: Votes) -> np.ndarray:
        if votes not in self._mixed:
            self._mixed[votes] = blend.mixed(self._members, votes)
        return self._mixed[votes]

    def _threshold_choice(self, votes: Votes, group: int | None) -> Choice:
        counts = self.counts(votes)
        if group is None:
            return thresholding.search(counts, **self._grid)
        if votes not in self._choices:
            _, self._choices[votes] = thresholding.cross_fitted(counts, self._groups, **self._grid)
        return self._choices[votes][group]
