"""Folds, and chunks of predictions, as tasks of a Ray cluster: on this machine, its GPUs, or many machines.

The only package that imports Ray. A task runs the same code as without Ray (``pipeline.execution.complete`` and
``pipeline.execution.fold``). The driver, which is the command's own process, only schedules tasks, shows progress, and
joins the chunks of predictions. A task writes nothing but its fold's folder, or its chunks of predictions.

When a worker is lost (its process killed, its machine gone), only what it had not saved is lost: Ray runs the task
again on another worker, which continues after the fold's last finished epoch.
"""
