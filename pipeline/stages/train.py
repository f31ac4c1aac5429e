"""Train the folds and predict their out-of-fold tiles."""

from __future__ import annotations

from pipeline import launch
from pipeline.progress import say
from pipeline.stages import Context


def run(context: Context) -> None:
    """Fill ``data/<dataset>/experiments/<experiment>/fold-K`` for each fold."""
    tree = context.tree
    pending = {artifact.folder for artifact in context.pending("train")}
    todo = [fold for fold in context.folds if tree.fold_folder(fold) in pending]
    tree.write_config()
    say(f"train: experiment {tree.experiment}, fold{'s' if len(todo) > 1 else ''} {', '.join(map(str, todo))}")
    launch.train(tree, todo, context.jobs)
