"""What is known here of kernels at Kaggle: written before a kernel is pushed, so that no kernel is forgotten."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import msgspec

from pipeline.execution.kaggle.names import Kernel, Training, parse
from pipeline.system.atomic import read_if_any, write_bytes


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a kernel."""

    kernel: str
    """``owner/slug``."""
    failure: str = ""
    """Why it failed, once a user has seen that; the next command then starts another kernel."""


def remember(training: Training, kernel: Kernel, failure: str = "") -> None:
    """Write the record of a kernel."""
    record = Record(kernel=kernel.ref, failure=failure)
    write_bytes(_path(training, kernel), msgspec.json.format(msgspec.json.encode(record), indent=2))


def recall(training: Training) -> dict[Kernel, Record]:
    """The kernels of a training that are known here, by their numbers."""
    found: dict[Kernel, Record] = {}
    for path in training.records.glob(f"{training.prefix}-*.json"):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            record = msgspec.json.decode(read_if_any(path) or b"", type=Record)
            if (kernel := parse(record.kernel, training.prefix)) is not None:
                found[kernel] = record
    return dict(sorted(found.items(), key=lambda each: each[0].run))


def forget(training: Training, kernel: Kernel) -> None:
    """Remove the record of a kernel that Kaggle did not start."""
    _path(training, kernel).unlink(missing_ok=True)


def arriving(training: Training, kernel: Kernel) -> Path:
    """An empty folder for a kernel's files while they arrive."""
    folder = training.records / f".{kernel.slug}.arriving"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _path(training: Training, kernel: Kernel) -> Path:
    return training.records / f"{kernel.slug}.json"
