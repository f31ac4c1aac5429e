"""Experiments whose artifacts are all there, made in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import Freshness, Layout
from pipeline.config import load
from pipeline.stages import ROAD, Context
from tests.hollow import fill


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Context]:
    """Makes contexts of experiments on the built-in survey with two folds."""

    def make(experiment: str = "demo", *assignments: str, **options: Any) -> Context:
        settings = load(experiment, ["split.folds=2", *assignments])
        return Context(Layout(tmp_path, "demo", experiment, settings), Freshness(), (0, 1), **options)

    return make


def finish(context: Context) -> None:
    """Make all artifacts of an experiment."""
    for stage in ROAD:
        for artifact in stage.artifacts(context):
            if not Freshness().state(artifact).done:
                fill(artifact)
    context.freshness.forget()
