"""Train the folds and predict their out-of-fold tiles."""

from __future__ import annotations

from pipeline import launch
from pipeline.progress import say
from pipeline.stages import Context


def run(*contexts: Context) -> None:
    """Fill ``data/<dataset>/experiments/<experiment>/fold-K`` for each fold of each experiment."""
    work = []
    for context in contexts:
        tree = context.tree
        pending = {artifact.folder for artifact in context.pending("train")}
        todo = [fold for fold in context.folds if tree.fold_folder(fold) in pending]
        say(f"train: experiment {tree.experiment}, fold{'s' if len(todo) > 1 else ''} {', '.join(map(str, todo))}")
        work.append((tree, todo))
    if contexts[0].cluster is not None:
        from pipeline import cluster

        cluster.train(work, contexts[0].cluster)
    else:
        for tree, todo in work:
            launch.train(tree, todo, contexts[0].jobs)
