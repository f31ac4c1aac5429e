"""Predict the test tiles with each fold's network."""

from __future__ import annotations

from pipeline.execution import local
from pipeline.execution.task import PredictTask
from pipeline.stages import Context


def run(*contexts: Context) -> None:
    """Fill ``data/<dataset>/experiments/<experiment>/test`` for each experiment."""
    work = []
    for context in contexts:
        layout = context.layout
        pending = {artifact.manifest_path for artifact in context.pending("predict")}
        work.append((layout, [fold for fold in context.folds if layout.test(fold).manifest_path in pending]))
    if contexts[0].cluster is not None:
        from pipeline.execution.ray import experiments

        experiments.predict([PredictTask(layout, fold) for layout, todo in work for fold in todo], contexts[0].cluster)
    else:
        for layout, todo in work:
            local.predict(layout, todo, contexts[0].jobs)
