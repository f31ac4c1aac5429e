"""A command about a dataset and an experiment."""

from __future__ import annotations

from pathlib import Path

from pipeline import config
from pipeline.artifacts import Freshness, Layout
from pipeline.stages import Context


def context(root: Path, dataset: str = "demo", experiment: str = "demo", *assignments: str) -> Context:
    layout = Layout(root, dataset, experiment, config.load(experiment))
    return Context(layout, Freshness(), (0,), assignments=assignments)
