"""Surveys of growing size: do the time per tile and the memory stay constant?"""

from __future__ import annotations

import tempfile
from itertools import pairwise

from benchmarks.child import run
from benchmarks.machine import figure_path
from benchmarks.rows import Row
from benchmarks.startup import TINY

TITLE = "Growth"
STAGES = ("prepare", "split", "predict", "submit")
SIZES = (1, 4, 16)
TURNS = 3
"""Runs of each stage; the fastest counts, because the additional tiles take only tenths of a second."""


def measure(quick: bool = False) -> list[Row]:
    base = (20, 30) if quick else (100, 400)
    sizes = SIZES[:2] if quick else SIZES
    found = {size: _measured(base[0] * size, base[1] * size, 1 if quick else TURNS) for size in sizes}
    if not quick:
        _plot(found, base)
    rows = []
    for stage in STAGES:
        tiles = base[0] if stage == "split" else base[1] if stage != "prepare" else sum(base)
        # The fixed time of a stage (imports, tracing) does not grow with the survey: the cost of a tile is the
        # difference between two surveys, divided by their difference in tiles.
        paces = [(found[b][stage][0] - found[a][stage][0]) / ((b - a) * tiles) for a, b in pairwise(sizes)]
        change = paces[-1] / max(paces[0], 1e-9) - 1
        enough = found[sizes[-1]][stage][0] - found[sizes[0]][stage][0] > 1
        rows.append(
            Row(
                f"{stage}: time of one more tile, from {sizes[-2]}x to {sizes[-1]}x against {sizes[0]}x to {sizes[1]}x",
                f"{change:+.0%} ({1e3 * paces[-1]:.2f} ms)" if len(paces) > 1 and enough else "too short to tell",
                "within 15 %",
                abs(change) <= 0.15 or change < 0 if enough else None,
                " / ".join(f"{found[size][stage][0]:.1f} s" for size in sizes),
            )
        )
    for stage in ("prepare", "predict"):
        first, last = found[sizes[0]][stage][1], found[sizes[-1]][stage][1]
        rows.append(
            Row(
                f"{stage}: own peak memory at {sizes[-1]}x against {sizes[0]}x",
                f"{last - first:+.0f} MiB ({last:.0f} MiB)",
                "flat, under 2 GiB",
                last < 2048 and last - first < 100,
            )
        )
    return rows


def _measured(train: int, test: int, turns: int) -> dict[str, tuple[float, float]]:
    """Seconds and peak memory (without mapped files) in MiB of each stage of a survey, each in its own process."""
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = TINY.replace("survey.train=40 survey.test=12", f"survey.train={train} survey.test={test}")
        _child(folder, "download", settings)
        for stage in ("prepare", "split", "train", "predict", "submit"):
            runs = [_child(folder, stage, settings)]
            for _ in range(turns - 1 if stage in STAGES else 0):
                # Made again with the same content, so the later artifacts stay up to date.
                _child(folder, f"clean {stage}", settings)
                runs.append(_child(folder, stage, settings))
            found[stage] = min(seconds for seconds, _ in runs), max(peak for _, peak in runs)
    return found


def _child(folder: str, command: str, settings: str) -> tuple[float, float]:
    choice = ["--root", folder, "--dataset", "demo", "--experiment", "demo", "--set", settings]
    cost = run([*command.split(), *choice])
    return cost.seconds, cost.memory


def _plot(found: dict[int, dict[str, tuple[float, float]]], base: tuple[int, int]) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    tiles = [sum(base) * size for size in found]
    for stage in STAGES:
        left.plot(tiles, [found[size][stage][0] for size in found], "o-", label=stage)
    for stage in ("prepare", "predict"):
        right.plot(tiles, [found[size][stage][1] for size in found], "o-", label=stage)
    left.set(title="Time of a stage", xlabel="tiles in the survey", ylabel="seconds")
    right.set(title="Own peak memory", xlabel="tiles in the survey", ylabel="MiB", ylim=(0, None))
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    figure.savefig(figure_path("growth"), dpi=110)
    pyplot.close(figure)
