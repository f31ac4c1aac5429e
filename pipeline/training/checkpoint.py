"""What a killed run needs to go on as if nothing had happened.

After each epoch the whole state of the training goes to disk: weights, batch statistics, dropout's random state, the
optimizer's moments and step, averages of the weights, and the history. Plain NumPy arrays in one file that is replaced
atomically: no pickle, no code, the same on every backend.
"""

from __future__ import annotations

import contextlib
import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.artifacts.backup import STATE
from pipeline.system import disk
from pipeline.system.atomic import write_arrays

_DAMAGED = (
    *(OSError, ValueError, KeyError, EOFError, MemoryError, SyntaxError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
"""What NumPy and ``zipfile`` raise over a damaged file: a wrong size, method of compression, header, checksum."""


class Checkpoint:
    """The state of a fold's training, in a folder of its own.

    The weights of each epoch that is the best so far, of the run or of a cycle, have a file of their own, written
    before the state that names it, so that the two always belong together, whenever the run is killed.

    Args:
        folder: where the files lie.
        identity: fingerprint of settings and inputs; a state with another one is not used.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder, self.identity = folder, identity

    def best_path(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch}.npz"

    def save(
        self,
        model: keras.Model,
        history: list[dict[str, Any]],
        best_epochs: Sequence[int],
        average: Sequence[np.ndarray] = (),
    ) -> None:
        """Write the state after an epoch, then remove what it no longer names.

        Args:
            model: with its optimizer.
            history: of the epochs that are done.
            best_epochs: epochs, the first is 0, whose weights are kept.
            average: of the weights, where the model holds none itself.
        """
        arrays: dict[str, Any] = {
            f"{index:05d}": _to_numpy(variable) for index, variable in enumerate(_variables(model))
        }
        arrays |= {f"average-{index:05d}": array for index, array in enumerate(average)}
        about = {"identity": self.identity, "history": history, "best_epochs": [*best_epochs], "averages": len(average)}
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        write_arrays(self.folder / STATE, arrays)
        for old in {*self.folder.glob("best-*.npz")} - {self.best_path(epoch) for epoch in best_epochs}:
            old.unlink(missing_ok=True)

    def save_best(self, arrays: list[np.ndarray], epoch: int) -> None:
        """Write the weights that a new best epoch leaves."""
        write_arrays(self.best_path(epoch), {f"{index:05d}": array for index, array in enumerate(arrays)})

    def load_best(self, epoch: int) -> list[np.ndarray]:
        """Weights of a best epoch, in the order of ``model.weights``."""
        with np.load(self.best_path(epoch), allow_pickle=False) as arrays:
            return [arrays[name] for name in sorted(arrays.files)]

    def restore(self, model: keras.Model) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
        """Put a saved state back, model and optimizer (built) alike.

        Returns:
            The history of the epochs that are done, and the average of the weights that was saved; both empty where
            there is no state that fits, and then nothing was touched.

        Raises:
            OSError: the disk failed: what it holds may be whole, and hours of training would be lost.
        """
        variables = _variables(model)
        with _damage_suppressed():
            with np.load(self.folder / STATE, allow_pickle=False) as arrays:
                about = json.loads(arrays["about"].tobytes())
                if about["identity"] != self.identity or len(arrays.files) != len(variables) + about["averages"] + 1:
                    return [], []
                values = [arrays[f"{index:05d}"] for index in range(len(variables))]
                average = [arrays[f"average-{index:05d}"] for index in range(about["averages"])]
            if any(tuple(variable.shape) != value.shape for variable, value in zip(variables, values, strict=True)):
                return [], []
            for epoch in about["best_epochs"]:
                self.load_best(epoch)  # it must be there and whole, or the state is of no use
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            return about["history"], average
        return [], []


@contextlib.contextmanager
def _damage_suppressed() -> Iterator[None]:
    """A damaged file counts as none; a disk that cannot be read is another matter."""
    try:
        yield
    except _DAMAGED as error:
        if disk.failure(error):
            raise


def epochs_done(folder: Path) -> int:
    """Epochs of the training whose state lies in a folder; 0 where there is none that can be read."""
    with _damage_suppressed(), np.load(folder / STATE, allow_pickle=False) as arrays:
        return len(json.loads(arrays["about"].tobytes())["history"])
    return 0


def _variables(model: keras.Model) -> list[keras.Variable]:
    # ``model.variables`` holds dropout's random state too, which ``model.weights`` leaves out.
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in metrics] + list(model.optimizer.variables)


def _to_numpy(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable.value))
