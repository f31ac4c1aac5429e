"""Write the best weights of a fold to the files that prediction reads."""

from __future__ import annotations

import errno
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from pipeline.network.averaging import arrays_of
from pipeline.prediction.load import load_weights
from pipeline.system.atomic import write_bytes


def export_weights(model: keras.Model, networks: Mapping[str, Sequence[np.ndarray]], folder: Path) -> None:
    """Write each network's weights to a file, and read them back in the same way as prediction does.

    Other files of weights in the folder are removed: a run with another number of snapshots wrote them.

    Args:
        model: a network with these layers. Its weights are overwritten and its optimizer is removed.
        networks: name of a ``.weights.h5`` file -> weights in the order of ``model.weights``.
        folder: of the files.

    Raises:
        OSError: the disk failed, or other weights were read back.
    """
    # Keras would also write the optimizer's state, which is three times as large and which prediction does not need.
    model.optimizer = None
    for name, weights in networks.items():
        for variable, value in zip(model.weights, weights, strict=True):
            variable.assign(value)
        write_bytes(folder / name, serialize(model))
        load_weights(model, folder / name)
        if any(map(_differ, arrays_of(model.weights), weights)):
            raise OSError(errno.EIO, "Other weights were read back than were written", str(folder / name))
    for old in folder.glob("*.weights.h5"):
        if old.name not in networks:
            old.unlink()


def serialize(model: keras.Model) -> memoryview:
    """The weights of a network as the content of a ``.weights.h5`` file.

    HDF5 reports a failed write only from a destructor, and Keras not at all: written directly to a full disk, the file
    would be damaged without an error.
    """
    stream = _H5()
    model.save_weights(stream)
    return stream.getbuffer()


class _H5(io.BytesIO):
    """A file in memory that ``save_weights`` accepts: Keras checks the name before it writes."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape != other.shape or one.dtype != other.dtype or one.tobytes() != other.tobytes()
