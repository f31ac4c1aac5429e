"""Predict the test tiles with each fold's network."""

from __future__ import annotations

from pipeline import launch
from pipeline.stages import Context


def run(context: Context) -> None:
    """Fill ``data/<dataset>/experiments/<experiment>/test``."""
    tree = context.tree
    pending = {artifact.manifest_path for artifact in context.pending("predict")}
    todo = [fold for fold in context.folds if tree.test(fold).manifest_path in pending]
    launch.predict(tree, todo, context.jobs)
