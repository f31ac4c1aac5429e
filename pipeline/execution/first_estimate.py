"""How long an epoch takes, measured over its first steps: the first estimate of a training, before an epoch is done."""

from __future__ import annotations

import time

SKIPPED = 2
"""Steps that are not measured: in the first ones the backend traces and compiles the network."""
MEASURED = 20
"""Steps that are measured; in a short epoch, half of it."""
FEWEST = 3
"""Fewest steps to measure. An epoch of fewer than twice as many has none measured, because it ends soon."""


class FirstEstimate:
    """Measures the steps of the first epoch that a training trains."""

    def __init__(self) -> None:
        self._done = False
        self._epoch: int | None = None
        self._began: tuple[int, float] | None = None

    def step(self, epoch: int, step: int, steps: int) -> float | None:
        """Take note of a step that has ended.

        Args:
            epoch: of the step; only the first epoch is measured.
            step: steps of the epoch that have ended.
            steps: of the epoch.

        Returns:
            Once, when enough steps are measured, the estimated seconds of an epoch without its scoring; otherwise None.
        """
        wanted = min(MEASURED, (steps - SKIPPED) // 2)
        self._epoch = epoch if self._epoch is None else self._epoch
        if self._done or wanted < FEWEST or step < SKIPPED or epoch != self._epoch:
            return None
        now = time.monotonic()
        if self._began is None:
            self._began = step, now
            return None
        first, began = self._began
        if step - first < wanted:
            return None
        self._done = True
        return (now - began) / (step - first) * steps
