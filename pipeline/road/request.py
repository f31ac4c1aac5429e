"""What a user has asked for of an experiment so far: its folds, and its settings, beside its artifacts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import msgspec

from pipeline.artifacts import Layout
from pipeline.config import fingerprint, stored, to_toml
from pipeline.system.atomic import read_if_any, write_bytes

FOLDS = "folds.json"


def requested_folds(layout: Layout) -> tuple[int, ...]:
    """The folds that were asked for so far; empty where none were."""
    folds: list[int] = []
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        folds = msgspec.json.decode(read_if_any(layout.experiment_folder / FOLDS) or b"[]", type=list[int])
    # A fold that was started was asked for, also where the file is lost or was overwritten by another process.
    started = [fold for fold in layout.folds if layout.fold_folder(fold).is_dir()]
    return tuple(sorted({fold for fold in (*folds, *started) if fold in layout.folds}))


def request_folds(layout: Layout, folds: Iterable[int]) -> None:
    """Remember which folds are wanted, so that a command that was killed finds all of them missing, not only some."""
    _write_if_new(layout, FOLDS, msgspec.json.encode(sorted({*folds})))


def write_config(layout: Layout) -> None:
    """Write the resolved settings beside the experiment's artifacts."""
    text = f"# fingerprint = {fingerprint(stored(layout.settings))}\n{to_toml(layout.settings)}"
    _write_if_new(layout, "config.toml", text.encode())


def _write_if_new(layout: Layout, name: str, content: bytes) -> None:
    path = layout.experiment_folder / name
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)
