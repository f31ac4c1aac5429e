"""The checkpoint of a training, from which a killed run resumes and ends as if it had not been interrupted.

After each epoch the whole state is written: weights, batch norm statistics, the random state of dropout, the
optimizer's moments and step, averages of the weights, and the history. It is one file of plain NumPy arrays that is
replaced atomically: no pickle, no code, the same on every backend and in every precision, except that float16 adds the
scale of the loss.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.artifacts.backup import STATE, saved_history
from pipeline.system import disk
from pipeline.system.atomic import write_arrays

_DAMAGED = (
    *(OSError, ValueError, KeyError, EOFError, MemoryError, SyntaxError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
"""What NumPy and ``zipfile`` raise for a damaged file: wrong size, compression method, header or checksum."""


LOSS_SCALE = 4
"""Variables of Keras' loss scaling: iteration, learning rate, steps since the last change, scale."""
UNUSABLE = "unusable-"
"""Prefix of the files of a state that could not be used."""


class Checkpoint:
    """The state of a fold's training in a folder.

    The weights of the best epoch so far, of the run or of a cycle, are in a separate file. It is written before the
    state that names it, so that the two match whenever the run is killed.

    Args:
        folder: of the files.
        identity: fingerprint of settings and inputs; a state with another identity is not restored.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder, self._identity = folder, identity

    def best_path(self, epoch: int) -> Path:
        """File of a best epoch's weights."""
        return self.folder / f"best-{epoch}.npz"

    def save(
        self,
        model: keras.Model,
        history: list[dict[str, Any]],
        best_epochs: Sequence[int],
        average: Sequence[np.ndarray] = (),
    ) -> None:
        """Write the state after an epoch, then remove the files of weights that it no longer names.

        Args:
            model: with its optimizer.
            history: of the epochs that are done.
            best_epochs: epochs, counted from 0, whose weights are kept.
            average: of the weights, if it is not among the optimizer's variables.
        """
        arrays: dict[str, Any] = {
            f"{index:05d}": _to_numpy(variable) for index, variable in enumerate(_variables(model))
        }
        arrays |= {f"average-{index:05d}": array for index, array in enumerate(average)}
        about = {
            "identity": self._identity,
            "history": history,
            "best_epochs": [*best_epochs],
            "averages": len(average),
        }
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        write_arrays(self.folder / STATE, arrays)
        for old in {*self.folder.glob("best-*.npz")} - {self.best_path(epoch) for epoch in best_epochs}:
            old.unlink(missing_ok=True)

    def save_best(self, arrays: list[np.ndarray], epoch: int) -> None:
        """Write the weights of a new best epoch, in the order of ``model.weights``."""
        write_arrays(self.best_path(epoch), {f"{index:05d}": array for index, array in enumerate(arrays)})

    def load_best(self, epoch: int) -> list[np.ndarray]:
        """Weights of a best epoch, in the order of ``model.weights``."""
        with np.load(self.best_path(epoch), allow_pickle=False) as arrays:
            return [arrays[name] for name in sorted(arrays.files)]

    def set_aside(self) -> Path | None:
        """Rename the files of a state that cannot be used, so that the next epoch does not overwrite them.

        Returns:
            The renamed state, or None where there is none. It stays until the training is done.
        """
        state = self.folder / STATE
        if not state.is_file():
            return None
        for path in (*self.folder.glob("best-*.npz"), state):  # the state last: until then they belong to it
            path.replace(path.with_name(UNUSABLE + path.name))
        return state.with_name(UNUSABLE + STATE)

    def restore(self, model: keras.Model) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
        """Restore the saved state of a model and its optimizer, which must be built.

        The training may have been started in another precision. Where only one of the two scales the loss, its scale
        starts anew.

        Returns:
            The history of the epochs that are done, and the saved average of the weights. Both are empty, and the model
            is unchanged, where there is no state, or it is damaged or does not fit.

        Raises:
            OSError: the disk failed. The files may be intact; starting again would lose hours of training.
        """
        variables, scale = _variables(model), _loss_scale(model)
        with _damage_suppressed():
            with np.load(self.folder / STATE, allow_pickle=False) as arrays:
                about = json.loads(arrays["about"].tobytes())
                if about["identity"] != self._identity:
                    return [], []
                stored = len(arrays.files) - about["averages"] - 1
                values = [arrays[f"{index:05d}"] for index in range(stored)]
                average = [arrays[f"average-{index:05d}"] for index in range(about["averages"])]
            if stored == len(variables) + LOSS_SCALE and not scale:
                at = len(variables) - len(model.optimizer.variables)
                del values[at : at + LOSS_SCALE]
            elif stored == len(variables) - LOSS_SCALE and scale:
                variables = [variable for variable in variables if id(variable) not in scale]
            if len(values) != len(variables):
                return [], []
            if any(tuple(variable.shape) != value.shape for variable, value in zip(variables, values, strict=True)):
                return [], []
            for epoch in about["best_epochs"]:
                self.load_best(epoch)  # without it the state could not be used
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            return about["history"], average
        return [], []


@contextlib.contextmanager
def _damage_suppressed() -> Iterator[None]:
    """Treat a damaged file as a missing one; a failure of the disk is raised."""
    try:
        yield
    except _DAMAGED as error:
        if disk.failure(error):
            raise


def epochs_done(folder: Path) -> int:
    """Number of epochs of the state in a folder; 0 where there is none or it cannot be read."""
    with _damage_suppressed():
        return len(saved_history(folder))
    return 0


def remove_other_backups(folder: Path, own: Path) -> None:
    """Of the backups of runs with other settings or inputs, keep only the one that has completed the most epochs.

    Of several the latest is kept, so that such a run can still resume after this one.

    Args:
        folder: of the fold.
        own: backup folder of this run, which is kept.
    """
    others = [path for path in folder.glob("backup*") if path != own]
    if len(others) > 1:
        others.sort(key=lambda path: (epochs_done(path), path.stat().st_mtime_ns))
        for path in others[:-1]:
            shutil.rmtree(path, ignore_errors=True)


def _variables(model: keras.Model) -> list[keras.Variable]:
    # ``model.variables`` includes the random state of dropout, ``model.weights`` does not.
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in metrics] + list(model.optimizer.variables)


def _loss_scale(model: keras.Model) -> set[int]:
    """Ids of the variables that float16's loss scaling adds before those of the optimizer; empty without it."""
    inner = getattr(model.optimizer, "inner_optimizer", None)
    if inner is None:
        return set()
    return {id(variable) for variable in model.optimizer.variables} - {id(variable) for variable in inner.variables}


def _to_numpy(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable.value))
