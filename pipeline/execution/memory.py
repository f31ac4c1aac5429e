"""Errors of full memory, each backend's own, as one line that names the setting to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

from pipeline.config import Settings, UserError
from pipeline.execution.task import FoldTask
from pipeline.system.environment import option

_TYPES = {"ResourceExhaustedError", "OutOfMemoryError"}
"""Names of TensorFlow's and of PyTorch's exception; JAX has none of its own."""
_TEXTS = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")


def explaining_full_memory(task: FoldTask, section: Literal["train", "predict"]) -> AbstractContextManager[None]:
    """As ``naming_batch_size``, for the work of a fold."""
    return naming_batch_size(f"fold {task.fold}", task.settings, section)


@contextmanager
def naming_batch_size(
    label: str, settings: Settings, section: Literal["train", "pretrain", "predict"]
) -> Iterator[None]:
    """Raise a ``UserError`` where the block runs out of the memory of the GPU or of the machine.

    Args:
        label: what runs.
        settings: of the experiment.
        section: of the settings, whose ``batch_size`` is the number of images in memory at once.

    Raises:
        UserError: the line names a smaller batch size.
    """
    try:
        yield
    except Exception as error:
        if not is_full_memory(error):
            raise
        size = getattr(settings, section).batch_size
        half = f"{section}.batch_size={size // 2}"
        advice = f"take half: {option('set', half)}" if size > 1 else "take a smaller input.size"
        raise UserError(f"{label}: the memory is full with {section}.batch_size = {size}; {advice}") from error


def is_full_memory(error: BaseException) -> bool:
    """Whether an exception says that the memory of the GPU, or of the machine, is full."""
    if isinstance(error, MemoryError) or type(error).__name__ in _TYPES:
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
