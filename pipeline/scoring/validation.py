"""What the out-of-fold predictions say: the cross-fitted score, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.config import SubmitSettings
from pipeline.scoring import blend, metric
from pipeline.scoring import postprocess as rules
from pipeline.scoring.blend import Votes
from pipeline.scoring.postprocess import Gain, PostProcessing, Trial

PARTS = 5
"""Parts that the tiles of a single fold are dealt to, to cross-fit within it."""


@dataclass(frozen=True)
class Validation:
    """What the out-of-fold predictions say.

    The cross-validated score is cross-fitted: weights, threshold, smallest area and rules for one fold's tiles are
    chosen on the other folds' tiles, so that no tile has a say in how it is scored.
    """

    choice: PostProcessing
    """Chosen on all tiles; what the test tiles get."""
    gains: list[Gain]
    """What each rule adds on all tiles, in the order in which they were taken; then those that were not."""
    votes: Votes
    """Weight of each member of a blend, chosen on all tiles; (1,) for a single experiment."""
    score: float
    """Cross-fitted."""
    without_rules: float
    """Cross-fitted, with the same thresholds and smallest areas but no other rule."""
    folds: dict[int, float]
    """Cross-fitted score of each fold."""
    at_half: float
    """Score at a threshold of 0.5 with every mask kept."""
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
    """Share of the tiles that are rightly told to hold salt or none."""
    nothing: float
    """Score of predicting no salt in any tile, which is the share of tiles without salt."""

    @property
    def spread(self) -> float:
        """Standard deviation of the folds' scores; 0 for one fold."""
        values = list(self.folds.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the receipt."""
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
        }


def validate(
    members: Sequence[np.ndarray],
    truth: np.ndarray,
    images: np.ndarray,
    dealt: np.ndarray,
    settings: SubmitSettings,
) -> Validation:
    """Choose weights, threshold, smallest area and rules, and score honestly.

    Args:
        members: out-of-fold probabilities of one experiment, or of each member of a blend, (n, 101, 101) uint8.
        truth: masks of the same tiles, (n, 101, 101) uint8 0/1.
        images: the same tiles, (n, 101, 101) uint8 grey values.
        dealt: (n,) int, the fold of each tile.
        settings: a threshold or area given there is not searched, and rules given there are taken.

    With one fold its tiles are dealt to five parts, each scored with what the other four chose.
    """
    folds = list(dict.fromkeys(dealt.tolist()))
    groups = np.asarray(dealt) if len(folds) > 1 else np.arange(len(dealt)) % PARTS
    search = _Search(members, truth, images, groups, settings)
    predicted, both = np.empty(len(truth), np.int64), np.empty(len(truth), np.int64)
    scores, without = np.empty(len(truth)), np.empty(len(truth))
    for group in np.unique(groups):
        own = groups == group
        votes, how, _ = search.chosen(int(group))
        trial = search.trial(votes, how.threshold)
        predicted[own], both[own] = (found[own] for found in trial.areas(how))
        scores[own] = trial.scores(how)[own]
        without[own] = trial.scores(PostProcessing(how.threshold, how.min_area))[own]
    votes, choice, gains = search.chosen(None)
    true = search.counts(votes).truth
    areas = predicted + true
    empty = areas == 0
    return Validation(
        choice=choice,
        gains=gains,
        votes=votes,
        score=float(scores.mean()),
        without_rules=float(without.mean()),
        folds={fold: float(scores[dealt == fold].mean()) for fold in folds},
        at_half=float(metric.scores_at(search.counts(votes), 0.5, 0).mean()),
        interval=metric.bootstrap(scores, 0),
        tile_scores=scores,
        tile_iou=np.where(empty, 1.0, both / np.maximum(areas - both, 1)),
        predicted_area=predicted,
        dice=float(np.where(empty, 1.0, 2 * both / np.maximum(areas, 1)).mean()),
        empty_accuracy=metric.empty_accuracy(predicted, true),
        nothing=float((true == 0).mean()),
    )


class _Search:
    """What groups of tiles choose for the others; what several need alike is made once."""

    def __init__(
        self,
        members: Sequence[np.ndarray],
        truth: np.ndarray,
        images: np.ndarray,
        groups: np.ndarray,
        settings: SubmitSettings,
    ) -> None:
        self._members, self._truth, self._groups = members, truth, groups
        self._blank = rules.constant(images)
        self._pool = blend.Pool(members, truth)
        self._rules = None if settings.rules == "auto" else settings.rules
        self._grid: dict[str, Any] = {}
        if settings.threshold != "auto":
            self._grid["thresholds"] = (settings.threshold,)
        if settings.min_area != "auto":
            self._grid["areas"] = (settings.min_area,)
        self._mixed: dict[Votes, np.ndarray] = {}
        self._counts: dict[Votes, metric.Counts] = {}
        self._cuts: dict[Votes, dict[int, metric.Choice]] = {}
        self._trials: dict[tuple[Votes, float], Trial] = {}

    def chosen(self, group: int | None) -> tuple[Votes, PostProcessing, list[Gain]]:
        """What all tiles but a group's choose; with None, what all tiles choose."""
        chosen_on = np.ones(len(self._truth), bool) if group is None else self._groups != group
        count = len(self._members)
        cut = self._cut((1,) * count, group)
        # To the nearest twentieth, so that groups with thresholds close to each other share what was drawn.
        votes = blend.choose(self._pool, count, chosen_on, round(20 * cut.threshold) / 20, cut.min_area)
        cut = self._cut(votes, group)
        plain = PostProcessing(cut.threshold, cut.min_area)
        return votes, *rules.choose(self.trial(votes, cut.threshold), plain, chosen_on, self._rules)

    def trial(self, votes: Votes, threshold: float) -> Trial:
        """Scores of all tiles with these weights and this threshold."""
        key = (votes, threshold)
        if key not in self._trials:
            found = self._probabilities(votes)
            self._trials[key] = Trial(found, self._truth, self._blank, self.counts(votes), threshold)
        return self._trials[key]

    def counts(self, votes: Votes) -> metric.Counts:
        """Areas and intersections of all tiles with these weights."""
        if votes not in self._counts:
            self._counts[votes] = metric.count(self._probabilities(votes), self._truth)
        return self._counts[votes]

    def _probabilities(self, votes: Votes) -> np.ndarray:
        if votes not in self._mixed:
            self._mixed[votes] = blend.mixed(self._members, votes)
        return self._mixed[votes]

    def _cut(self, votes: Votes, group: int | None) -> metric.Choice:
        counts = self.counts(votes)
        if group is None:
            return metric.search(counts, **self._grid)
        if votes not in self._cuts:
            _, self._cuts[votes] = metric.cross_fitted(counts, self._groups, **self._grid)
        return self._cuts[votes][group]
