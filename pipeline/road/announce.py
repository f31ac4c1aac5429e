"""What a command is about to train, printed before it starts: with which settings, on what, why and for how long."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline import config
from pipeline.artifacts import Artifact, Freshness, Layout, reusable_from, started
from pipeline.config import differences
from pipeline.config.schema.kaggle import NO_ACCELERATOR
from pipeline.road.estimate import Estimate, estimate, parameters, training_tiles
from pipeline.stages import Context, prepare, pretrain, train
from pipeline.system import backends, environment, gpu_packages, machine
from pipeline.system.progress import echo, fold_names, format_roughly, short_path

WIDTH = 118
"""Columns after which a line is wrapped."""
LABEL = 20
"""Columns of the label before a value."""
QUICK = "unet-quick"
"""The experiment that is named before a training of ``LONG`` seconds or more."""
LONG = 4 * 3600
INITIAL_SHARE = 0.05
"""Share of the initial weights in the moving average at the end of a training above which the plan warns."""


def announce(contexts: Sequence[Context]) -> None:
    """Print the plan of each training that is about to start; nothing where nothing will be trained.

    Only manifests, environment variables and the list of GPUs are read. No framework is imported.

    Args:
        contexts: of a command that may train, after the stages that all experiments share.
    """
    plans = [(context, folds) for context in contexts if (folds := _to_train(context))]
    if not plans:
        return
    gpus = _gpus(plans[0][0])
    install = gpu_packages.missing(backends.selected()) if gpus else ""
    for context, folds in plans:
        echo("")
        for line in plan_lines(context, folds, [] if install else gpus):
            echo(line)
    if install:
        echo(f"warning: {gpu_line(gpus, install)}")


def plan_lines(context: Context, folds: Sequence[int], gpus: Sequence[str]) -> list[str]:
    """The plan of one experiment's training.

    Args:
        context: of the experiment.
        folds: those that will be trained.
        gpus: those that the backend can use.
    """
    layout, settings = context.layout, context.layout.settings
    changed = differences(settings, config.load(layout.experiment))
    differs = ", ".join(f"{key} = {_shown(new)} (not {_shown(old)})" for key, (old, new) in changed.items())
    precision = _precision(context, gpus)
    count = parameters(context)
    network = "" if count is None else f", {count:,} parameters"
    at_once = f", {min(context.jobs, len(folds))} at once" if min(context.jobs, len(folds)) > 1 else ""
    stops = ", or fewer (early stopping)" if settings.train.early_stopping else ""
    lines = [
        *_row("experiment", layout.experiment),
        *_row("  differs in", differs),
        *_row("dataset", f"{layout.dataset}{_tiles(context)}"),
        *_row("device", f"{_device(context, gpus)}; {backends.selected()}, {precision}{network}"),
        *(_row("  backend", f"{backends.selected()}: {why}") if (why := backends.why()) else []),
        *(_row("pretraining", _pretraining(context)) if pretrain.is_used(layout) else []),
        *_row("teachers", _labels(context)),
        *_row("training", f"{fold_names(folds)} x {settings.train.epochs} epochs{stops}{at_once}"),
    ]
    for why, some in _reasons(context, folds).items():
        lines += _row(f"  {fold_names(some)}", why)
    lines += _row("  average", _unfinished_average(context))
    gpu = bool(gpus)
    found = None if _elsewhere(context) else estimate(context, len(folds), precision, gpu)
    lines += _row("time", _time(context, found))
    if found is not None and found.seconds >= LONG and layout.experiment != QUICK:
        lines += _row("  sooner", _sooner(context, estimate(_quick(context), len(folds), precision, gpu)))
    return lines


def gpu_line(gpus: Sequence[str], install: str) -> str:
    """Text for GPUs that the backend cannot use.

    Args:
        gpus: as ``machine.gpus`` lists them.
        install: what pip has to install.
    """
    found = f"{len(gpus)} GPUs are" if len(gpus) > 1 else "a GPU is"
    if environment.is_from_make():
        command = "make .venv/ready-gpu"
    else:
        command = f"{shlex.quote(short_path(Path(sys.executable)))} -m pip install {shlex.quote(install)}"
    backend = backends.selected()
    return f"{found} here, but {backend} is installed without CUDA and trains on the processor; to use it: {command}"


def _to_train(context: Context) -> list[int]:
    """The folds that are not trained, and that no other experiment has trained with the same settings and inputs."""
    artifacts = {fold: train.trained(context.layout, fold) for fold in context.folds}
    freshness = context.freshness
    return [fold for fold, each in artifacts.items() if not freshness.state(each).done and not reusable_from(each)]


def _reasons(context: Context, folds: Sequence[int]) -> dict[str, list[int]]:
    """Why folds that were trained or started before are trained: reason -> folds, without those that are missing."""
    found: dict[str, list[int]] = {}
    for fold in folds:
        if why := _reason(context.freshness, train.trained(context.layout, fold)):
            found.setdefault(why, []).append(fold)
    return found


def _reason(freshness: Freshness, artifact: Artifact) -> str:
    state = freshness.state(artifact)
    stale = f"{state.kind}: {state.why}" if state.why else ""
    return "; ".join(filter(None, [stale, "resumes after its last finished epoch" if started(artifact) else ""]))


def _pretraining(context: Context) -> str:
    """What comes before the folds, or the file with its result."""
    artifact = pretrain.artifact(context.layout)
    if context.freshness.state(artifact).done:
        return f"done: {context.manifest(artifact).result['views']:,} views, {short_path(artifact.path)}"
    resumes = "; resumes after its last checkpoint" if started(artifact) else ""
    return f"{context.layout.settings.pretrain.views:,} views of masked tiles, first and on this machine{resumes}"


def _tiles(context: Context) -> str:
    prepared = context.freshness.manifest(prepare.artifact(context.layout))
    if prepared is None:
        return ""
    return f", {prepared.result['train']:,} labelled and {prepared.result['test']:,} test tiles"


def _device(context: Context, gpus: Sequence[str]) -> str:
    if context.cluster is not None:
        return f"Ray at {context.cluster.address}" if context.cluster.address else "Ray on this machine"
    if context.kaggle is not None:
        gpu = context.kaggle.accelerator != NO_ACCELERATOR
        return f"kernels at Kaggle with {context.kaggle.accelerator}" if gpu else "kernels at Kaggle without a GPU"
    if gpus:
        return f"GPU{'s' if len(gpus) > 1 else ''} {', '.join(gpus)}"
    cores = machine.cores()
    return f"{cores} processor core{'s' if cores > 1 else ''}"


def _elsewhere(context: Context) -> bool:
    """Whether other machines train: Kaggle's, or those of a cluster that is already running."""
    return context.kaggle is not None or (context.cluster is not None and bool(context.cluster.address))


def _gpus(context: Context) -> list[str]:
    """GPUs of this machine that train."""
    without = context.cluster is not None and context.cluster.gpus_per_fold == 0
    return [] if _elsewhere(context) or without else machine.gpus()


def _precision(context: Context, gpus: Sequence[str]) -> str:
    """As ``network.device.precision``, without the framework; ``auto`` where other machines choose."""
    wanted = context.layout.settings.train.precision
    if wanted != "auto" or _elsewhere(context):
        return wanted
    if gpus:
        return machine.gpu_precision()
    units = backends.selected() == "tensorflow" and machine.has_bfloat16_units()
    return "bfloat16" if units else "float32"


def _labels(context: Context) -> str:
    """Which experiments label the test tiles, and how many of a fold's tiles are test tiles; empty without teachers."""
    teachers, student = context.layout.teachers, context.layout.settings.student
    if not teachers:
        return ""
    names = ", ".join(each.experiment for each in teachers)
    end = f" until {student.end:.0%} of the epochs" if student.end < 1 else ""
    return f"{names}, fold by fold: up to {student.fraction:.0%} of the tiles are test tiles labelled by them{end}"


def _unfinished_average(context: Context) -> str:
    """A warning where so few steps are trained that the moving average of the weights is still near the initial ones.

    After n steps a share of momentum ** n of it is the weights of the first step.
    """
    own = context.layout.settings.train
    tiles = training_tiles(context)
    steps = own.epochs * max(1, int(tiles) // own.batch_size)
    share = own.ema_momentum**steps
    if not tiles or share <= INITIAL_SHARE:
        return ""
    enough = environment.option("set", f"train.ema_momentum={max(0.0, 1 - 6 / steps):.3g}")
    return f"warning: after {steps:,} steps {share:.0%} of it are still initial weights; add {enough}"


def _time(context: Context, found: Estimate | None) -> str:
    if _elsewhere(context):
        return "no estimate: other machines train"
    if found is None:
        return "no estimate yet: no such fold was trained here, and the experiment's file has no measurement"
    in_turn = (
        " for one fold after the other, less for several at once"
        if context.jobs > 1 or context.cluster is not None
        else ""
    )
    most = "at most " if context.layout.settings.train.early_stopping else ""
    before = f"; before it about {format_roughly(found.pretraining)} of pretraining" if found.pretraining else ""
    return f"{most}about {format_roughly(found.seconds)}{in_turn}, by {found.source}{before}"


def _quick(context: Context) -> Context:
    """The context of the quick experiment, for the same dataset and folds."""
    layout = context.layout
    return replace(context, layout=Layout(layout.root, layout.dataset, QUICK, config.load(QUICK)), assignments=())


def _sooner(context: Context, quick: Estimate | None) -> str:
    """The quick experiment, and how long it takes for the same folds."""
    option = environment.option("experiment", QUICK)
    if quick is None:
        return f"{option} has a network that trains faster, and fewer epochs"
    return f"{option} takes about {format_roughly(quick.seconds + quick.pretraining)}, by {quick.source}"


def _shown(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = "none" if value in ("", []) or value is None else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def _row(label: str, value: str) -> list[str]:
    if not value:
        return []
    indent = " " * (LABEL + 2)
    first = f"  {label:<{LABEL - 1}} "
    return textwrap.wrap(value, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
