"""Full memory, as each backend reports it, is one line with the setting to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import config
from pipeline.artifacts import Layout
from pipeline.config import UserError
from pipeline.execution.memory import explaining_full_memory
from pipeline.execution.task import FoldTask
from pipeline.stages import train
from pipeline.system import environment


class ResourceExhaustedError(Exception):
    """Named like TensorFlow's."""


class OutOfMemoryError(RuntimeError):
    """Named like PyTorch's."""


class JaxRuntimeError(RuntimeError):
    """Named like JAX's."""


@pytest.mark.parametrize(
    "error",
    [
        ResourceExhaustedError("OOM when allocating tensor with shape[32,64,128,128]"),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes."),
        MemoryError("Unable to allocate 4 GiB"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_line_names_a_smaller_batch(error: Exception, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "is_from_make", lambda: False)
    assert message(error, 32).startswith("fold 1: the memory is full with train.batch_size = 32")
    assert "--set train.batch_size=16" in message(error, 32)
    assert message(error, 1).endswith("train.batch_size = 1; take a smaller input.size")


@pytest.mark.parametrize("error", [RuntimeError("INTERNAL: failed"), ValueError("out of memory?"), KeyboardInterrupt()])
def test_other_errors_pass(error: BaseException):
    with pytest.raises(type(error)), explaining_full_memory(task(32), "train"):
        raise error


def message(error: Exception, batch_size: int) -> str:
    with pytest.raises(UserError) as caught, explaining_full_memory(task(batch_size), "train"):
        raise error
    return str(caught.value)


def task(batch_size: int) -> FoldTask:
    layout = Layout(Path("root"), "demo", "demo", config.load("demo", [f"train.batch_size={batch_size}"]))
    return train.task(layout, 1)
