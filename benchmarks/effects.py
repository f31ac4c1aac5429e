"""What a rung of the ladder changes against its base: the mean over seeds, and its standard error.

A rung and its base are compared on the same tiles and with the same seeds. The standard error has two parts: that over
tiles, from the bootstrap interval of the paired difference, and that over trainings. For the latter, the variance of
the score over seeds is pooled: few rungs are trained with several seeds, and each of them with three, too few to
estimate a variance from each alone. Two rungs that differ only after training share their networks, and so have no
variance over trainings between them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

Rung = dict[str, Any]
"""A row of ``results/ladder.json``."""
SEED = re.compile(r"-seed\d+$")
AFTER_TRAINING = {"predict", "submit"}
"""Sections whose settings do not change a training."""
INTERVAL = 2 * 1.96
"""Width of a 95 % interval in standard errors."""
SIGNIFICANT = 2
"""Standard errors that an effect must exceed."""


class Deviation(NamedTuple):
    """Standard deviation of the score over trainings with other seeds."""

    value: float
    """NaN where no rung is trained with several seeds."""
    degrees: int
    """Degrees of freedom of the estimate."""


class Effect(NamedTuple):
    """Difference of the scores of a rung and of its base."""

    mean: float
    error: float
    """Standard error, over tiles and trainings."""
    seeds: int
    """Seeds with which both were trained."""

    @property
    def significant(self) -> bool:
        return abs(self.mean) > SIGNIFICANT * self.error

    @property
    def verdict(self) -> str:
        """``gain``, ``loss`` or ``none``."""
        return "none" if not self.significant else "gain" if self.mean > 0 else "loss"

    def __str__(self) -> str:
        mean = f"**{self.mean:+.3f}**" if self.significant else f"{self.mean:+.3f}"
        return f"{mean} ± {self.error:.3f}"


def over_seeds(rows: Sequence[Rung]) -> dict[str, dict[int, Rung]]:
    """The rows of each rung by the seed of their training."""
    found: dict[str, dict[int, Rung]] = {}
    for row in rows:
        found.setdefault(SEED.sub("", row["experiment"]), {})[row["settings"]["train"]["seed"]] = row
    return found


def deviation(rows: Sequence[Rung]) -> Deviation:
    """Pool the variance of the score over the seeds of each rung that is trained with several.

    Of rungs that share their trainings, only the first counts.
    """
    groups: dict[str, list[float]] = {}
    for seeds in over_seeds(rows).values():
        groups.setdefault(_training(next(iter(seeds.values()))), [row["cv"] for row in seeds.values()])
    degrees = sum(len(group) - 1 for group in groups.values())
    squares = sum((each - sum(group) / len(group)) ** 2 for group in groups.values() for each in group)
    return Deviation(math.sqrt(squares / degrees) if degrees else math.nan, degrees)


def effects(rows: Sequence[Rung]) -> dict[str, Effect]:
    """The effect of each rung whose base has a row of the same seed, by the name of the rung.

    Args:
        rows: with the score ``cv``, the ``base``, the ``settings`` and, of the first seed, the interval of the paired
            difference over tiles, ``gain_low`` to ``gain_high``.
    """
    trained, found = over_seeds(rows), {}
    noise = deviation(rows).value
    for name, seeds in trained.items():
        first = next(iter(seeds.values()))
        base = trained.get(first["base"], {})
        common = seeds.keys() & base.keys()
        if not common or "gain" not in first:
            continue
        mean = sum(seeds[seed]["cv"] - base[seed]["cv"] for seed in common) / len(common)
        tiles = (first["gain_high"] - first["gain_low"]) / INTERVAL
        shared = _training(first) == _training(next(iter(base.values())))
        trainings = 0.0 if shared or math.isnan(noise) else noise * math.sqrt(2 / len(common))
        found[name] = Effect(mean, math.hypot(tiles, trainings), len(common))
    return found


def _training(row: Rung) -> str:
    """The settings of a training but its seed, as a key."""
    kept = {section: values for section, values in row["settings"].items() if section not in AFTER_TRAINING}
    kept["train"] = {key: value for key, value in kept["train"].items() if key != "seed"}
    return json.dumps(kept, sort_keys=True)
