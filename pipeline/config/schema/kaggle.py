"""How kernels at Kaggle run."""

from __future__ import annotations

import msgspec

NO_ACCELERATOR = "none"


class KaggleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How kernels at Kaggle run. Not part of an experiment: it has no effect on the result."""

    accelerator: str = "NvidiaTeslaT4"
    """Kaggle's name of a GPU (``NvidiaTeslaT4`` is a pair of them), or ``none`` for the processor alone."""
    internet: bool = True
    """Whether a kernel has internet; without it, missing packages come from a private dataset of wheels."""
    folds_per_kernel: int | None = None
    """Folds of one kernel; by default all of them. What a kernel has no time for, the next one continues."""
