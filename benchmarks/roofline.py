"""Roofline (Williams et al. 2009, https://doi.org/10.1145/1498765.1498785): how near is a layer to the limits?

A layer cannot be faster than the peak of matrix products, nor than memory delivers its inputs: its operations per byte
times the bandwidth. Small layers can exceed the second limit, because their inputs are still in the processor's cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from benchmarks.flops import forward_flops, layer_bytes, layer_flops, layers
from benchmarks.machine import backend_matmul, figure_path, matmul_peak, precisions
from benchmarks.networks import TINY
from benchmarks.rows import Row, once
from pipeline.config import Settings, load
from pipeline.network.backend import is_tensorflow, tensorflow
from pipeline.network.device import precision
from pipeline.prediction.build import make_network
from pipeline.system.machine import cores, cpu_name

TITLE = "Roofline"
EXPERIMENTS = ("kernel", "unet", "article")
LEAST = 0.2
"""Seconds for which a layer is measured, over and over; the fastest run counts."""


SHOWN = 0.005
"""Least share of a network's time of a layer in the figure: smaller ones only show the time of calling them."""


@dataclass(frozen=True)
class Point:
    """A layer, or a whole network.

    Attributes:
        intensity: operations per byte.
        pace: operations a second.
        seconds: of one forward pass of a batch.
    """

    intensity: float
    pace: float
    seconds: float


@dataclass(frozen=True)
class Network:
    """One network: as a whole, and its layers that have operations."""

    whole: Point
    layers: list[Point]


def measure(quick: bool = False, plot: Path | None = None) -> list[Row]:
    if not is_tensorflow():
        return [Row("layers one by one", "not measured", note="this subject needs KERAS_BACKEND=tensorflow")]
    sizes = (256,) if quick else (2048, 4096)
    peaks = {kind: matmul_peak(backend_matmul(kind), sizes) for kind in precisions()}
    memory = bandwidth(2**20 if quick else 2**28)
    kind = precision().removeprefix("mixed_")
    networks = {name: _measured(load(name, TINY if quick else []), quick) for name in EXPERIMENTS}
    plot = plot or (None if quick else figure_path("roofline"))
    if plot:
        draw(networks, peaks, memory, kind, plot)
    rows = [Row(f"peak of matrix products, {kind}", f"{peak / 1e9:,.0f} GFLOP/s") for kind, peak in peaks.items()]
    rows.append(Row("memory, copied by all cores", f"{memory / 1e9:.1f} GB/s", note="bytes read and bytes written"))
    peak = peaks.get(kind, peaks["float32"])
    return rows + [_row(name, network, peak, memory, kind) for name, network in networks.items()]


def _row(name: str, network: Network, peak: float, memory: float, kind: str) -> Row:
    whole = network.whole
    roof = min(peak, memory * whole.intensity)
    by_memory = sum(each.seconds for each in network.layers if each.intensity < peak / memory)
    alone = sum(each.seconds for each in network.layers)
    return Row(
        f"`{name}`: forward pass, {kind}",
        f"{whole.pace / 1e9:,.0f} GFLOP/s, {whole.pace / roof:.0%} of its roof",
        note=f"{whole.intensity:.0f} FLOP/byte; its {len(network.layers)} layers with operations take "
        f"{alone / whole.seconds:.0%} of the time, those limited by memory {by_memory / whole.seconds:.0%}",
    )


def bandwidth(size: int) -> float:
    """Bytes a second that all cores copy from one array of ``size`` bytes to another; each byte counts twice."""
    source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)
    parts = list(zip(np.array_split(target, cores()), np.array_split(source, cores()), strict=True))
    with ThreadPoolExecutor(cores()) as pool:
        return 2 * size / _fastest(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), LEAST)


def _measured(settings: Settings, quick: bool) -> Network:
    model, _ = make_network(settings)
    batch, least = settings.train.batch_size, 0.0 if quick else LEAST
    every = [layer for layer in layers(model) if not isinstance(layer, keras.layers.InputLayer)]
    seconds = _forward_seconds(model, batch, least)
    work = batch * forward_flops(model)
    whole = Point(work / sum(layer_bytes(layer, batch) for layer in every), work / seconds, seconds)
    points = []
    for layer in every:
        if work := batch * layer_flops(layer):
            seconds = _forward_seconds(layer, batch, least)
            points.append(Point(work / layer_bytes(layer, batch), work / seconds, seconds))
    return Network(whole, points)


def _forward_seconds(layer: keras.layers.Layer, batch: int, least: float) -> float:
    """Time of a forward pass of a layer or network alone, with random inputs."""
    shape = (batch, *layer.input.shape[1:])
    inputs = keras.random.uniform(shape, dtype=layer.input.dtype)
    forward = tensorflow().function(lambda x: layer(x, training=False), jit_compile=False)
    return _fastest(lambda: forward(inputs), least)


def _fastest(work: Callable[[], object], least: float) -> float:
    """Shortest wall time of several runs, after one to warm up; runs for ``least`` seconds and three times."""
    work()
    started, found = time.perf_counter(), [once(work)]
    while len(found) < 3 or time.perf_counter() - started < least:
        found.append(once(work))
    return min(found)


def draw(networks: dict[str, Network], peaks: dict[str, float], memory: float, kind: str, path: Path) -> None:
    """Draw the roof of the machine, the layers below it and each network as a whole into a PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.4), layout="constrained")
    shown = {
        name: [point for point in network.layers if point.seconds >= SHOWN * network.whole.seconds]
        for name, network in networks.items()
    }
    every = [point for name, network in networks.items() for point in [network.whole, *shown[name]]]
    left, right = min(point.intensity for point in every) / 2, max(point.intensity for point in every) * 2
    x = np.geomspace(left, max(right, 2 * max(peaks.values()) / memory), 400)
    for number, (name, peak) in enumerate(sorted(peaks.items(), key=lambda pair: -pair[1])):
        axes.plot(x, np.minimum(peak, memory * x) / 1e9, color="0.25", ls=("-", "--")[number], lw=1.2, zorder=1)
        text = f"matrix products in {name}: {peak / 1e9:,.0f} GFLOP/s"
        axes.annotate(text, (x[-1], peak / 1e9), (-5, 4), textcoords="offset points", ha="right", fontsize=9)
    for number, (name, network) in enumerate(networks.items()):
        colour, whole = f"C{number}", network.whole
        axes.scatter(
            [point.intensity for point in shown[name]],
            [point.pace / 1e9 for point in shown[name]],
            [12 + 900 * point.seconds / whole.seconds for point in shown[name]],
            color=colour,
            alpha=0.45,
            lw=0,
        )
        star = {"marker": "*", "s": 240, "color": colour, "edgecolor": "black", "zorder": 3}
        axes.scatter([whole.intensity], [whole.pace / 1e9], label=name, **star)
    axes.set(xscale="log", yscale="log", xlim=(x[0], x[-1]), xlabel="operations per byte read or written")
    axes.set_ylabel("GFLOP/s, forward")
    key = f"Sloped line: memory, {memory / 1e9:.0f} GB/s. Star: a whole network. Dot: one of its layers alone;\n"
    key += f"the area is its share of the network's time (layers below {SHOWN:.1%} are left out)."
    figure.supxlabel(key, fontsize=9)
    axes.set_title(f"{cpu_name()}, {cores()} cores: networks in {kind}", fontsize=11)
    axes.legend(loc="lower right", frameon=False)
    axes.grid(alpha=0.25, which="both", lw=0.5)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
