"""Where folds run on Ray."""

from __future__ import annotations

import msgspec


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where folds run on Ray. Not part of an experiment: it has no effect on the result."""

    address: str = ""
    """Address of a running cluster (``auto`` finds the one of this machine); empty starts one on this machine."""
    cpus_per_fold: int | None = None
    """Cores per fold; by default as many as let all folds run at once."""
    gpus_per_fold: float | None = None
    """GPUs per fold, may be below 1; by default one where the cluster has GPUs, otherwise none."""
    store: str = ""
    """fsspec address of the artifacts, for machines that do not share the root folder."""
