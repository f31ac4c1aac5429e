"""Lines about folds, the same for every way to run them."""

from __future__ import annotations

from pipeline.artifacts import Freshness
from pipeline.execution.task import TrainTask
from pipeline.system.progress import Epoch, format_duration, format_roughly


def fold_line(task: TrainTask, freshness: Freshness) -> str:
    """The result of a fold."""
    trained, predicted = freshness.manifest(task.trained), freshness.manifest(task.out_of_fold)
    if not trained or not predicted:
        return f"fold {task.fold}: not trained"
    epochs = trained.result.get("kept_epochs", [trained.result["best_epoch"]])
    kept = task.settings.train.keep
    which = f"{kept} epoch {epochs[0]}" if len(epochs) == 1 else f"snapshots of epochs {', '.join(map(str, epochs))}"
    return (
        f"fold {task.fold}: {which} of {trained.result['epochs']}, "
        f"out-of-fold score {predicted.result['score_at_half']:.4f} at 0.5, "
        f"{format_duration(trained.result['seconds'])}"
    )


def resumed_line(fold: int, done: int, epochs: int) -> str:
    """A fold's training resumes."""
    return f"fold {fold}: resumes after epoch {done} of {epochs}"


def unusable_line(name: str, kept: str) -> str:
    """The backup of a fold, or of the pretraining, cannot be used."""
    return f"{name}: its backup is damaged or does not fit, and it starts again; kept until it is trained: {kept}"


def reused_line(fold: int, experiment: str) -> str:
    """A fold's weights were copied from another experiment."""
    return f"fold {fold}: experiment {experiment} has trained the same network; taken from there"


def estimate_line(fold: int, epoch: float, epochs: int, in_all: int | None, early: bool) -> str:
    """What the first steps of a training tell about its time.

    Args:
        fold: that is trained.
        epoch: seconds of one epoch, without its scoring.
        epochs: that the fold still trains.
        in_all: that this fold and those after it train; None where folds are trained at the same time.
        early: whether training may end before its last epoch.
    """
    most = "at most " if early else ""
    times = [f"{format_roughly(epoch)} per epoch", f"{most}{format_roughly(epoch * epochs)} per fold"]
    if in_all is not None and in_all > epochs:
        times.append(f"{most}{format_roughly(epoch * in_all)} in all")
    return f"fold {fold}: about {', '.join(times)}, by its first steps; scoring after each epoch adds to it"


def epoch_line(result: Epoch, remaining: float) -> str:
    """The results of an epoch; ``remaining`` is in seconds."""
    return (
        f"fold {result.fold}  epoch {result.epoch:>3}/{result.epochs}  loss {result.loss:.4f}  "
        f"score {result.score:.4f}  best {result.best:.4f} (epoch {result.best_epoch})  "
        f"{format_duration(result.seconds)}  ETA {format_duration(remaining)}"
    )
