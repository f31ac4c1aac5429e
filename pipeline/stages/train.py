"""Train the folds and predict their out-of-fold tiles."""

from __future__ import annotations

from pipeline.execution import local
from pipeline.execution.task import TrainTask
from pipeline.stages import Context
from pipeline.system.progress import echo


def run(*contexts: Context) -> None:
    """Fill ``data/<dataset>/experiments/<experiment>/fold-K`` for each fold of each experiment."""
    work = []
    for context in contexts:
        layout = context.layout
        pending = {artifact.folder for artifact in context.pending("train")}
        todo = [fold for fold in context.folds if layout.fold_folder(fold) in pending]
        echo(f"train: experiment {layout.experiment}, fold{'s' if len(todo) > 1 else ''} {', '.join(map(str, todo))}")
        work.append((layout, todo))
    if contexts[0].cluster is not None:
        from pipeline.execution.ray import experiments

        experiments.train([TrainTask(layout, fold) for layout, todo in work for fold in todo], contexts[0].cluster)
    else:
        for layout, todo in work:
            local.train(layout, todo, contexts[0].jobs)
