"""Predict the test tiles with each fold's network."""

from __future__ import annotations

from pipeline import launch
from pipeline.stages import Context


def run(*contexts: Context) -> None:
    """Fill ``data/<dataset>/experiments/<experiment>/test`` for each experiment."""
    work = []
    for context in contexts:
        tree = context.tree
        pending = {artifact.manifest_path for artifact in context.pending("predict")}
        work.append((tree, [fold for fold in context.folds if tree.test(fold).manifest_path in pending]))
    if contexts[0].cluster is not None:
        from pipeline import cluster

        cluster.predict(work, contexts[0].cluster)
    else:
        for tree, todo in work:
            launch.predict(tree, todo, contexts[0].jobs)
