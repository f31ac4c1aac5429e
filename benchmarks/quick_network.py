"""The training pace of the quick experiment against the default's: with all cores, and of folds at once."""

from __future__ import annotations

import numpy as np

from benchmarks.networks import TINY
from benchmarks.processes import train_at_once
from benchmarks.rows import Row
from pipeline.config import load
from pipeline.network.device import precision
from pipeline.system import machine

TITLE = "Training, the quick experiment against the default"
EXPERIMENTS = ("unet", "unet-quick")
GOAL = 2.0


def measure(quick: bool = False) -> list[Row]:
    cores = machine.cores()
    ways = {"one fold with all cores": (1, cores)}
    if cores > 1:
        ways[f"folds at once with a core each (`JOBS={cores}`)"] = (cores, 1)
    return [_against(way, *divided, quick) for way, divided in ways.items()]


def _against(way: str, processes: int, cores: int, quick: bool) -> Row:
    """Tiles a second of both, in processes of their own, in turns."""
    paces: dict[str, list[float]] = {name: [] for name in EXPERIMENTS}
    for _ in range(1 if quick else 3):
        for name, found in paces.items():
            found.append(train_at_once(load(name, TINY if quick else []), processes, cores, quick))
    default, ours = (float(np.median(paces[name])) for name in EXPERIMENTS)
    return Row(
        f"`unet-quick`: pace against `unet`, {way}",
        f"{ours / default:.2f} x",
        f"{GOAL:g} x or more",
        ours >= GOAL * default,
        f"{ours:.1f} against {default:.1f} tiles/s; {precision().removeprefix('mixed_')}, without feeding and scoring",
    )
