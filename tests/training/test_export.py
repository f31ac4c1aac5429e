"""Export of the best weights: Keras reads them, and a failed write is an error."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.system import disk
from pipeline.training import export
from tests.training.helpers import dense, weights

pytestmark = pytest.mark.backends


def exported(folder: Path, before: Callable[[], object] = lambda: None) -> list[np.ndarray]:
    """Export a small network with new weights, as at the end of a training; returns the weights."""
    model = dense()
    model.compile(optimizer="adam", loss="mse")
    kept = [np.full(weight.shape, place, np.float32) for place, weight in enumerate(model.get_weights())]
    before()
    export.export_weights(model, {"best.weights.h5": kept}, folder)
    return kept


def test_weights_are_exported_as_keras_writes_them(tmp_path: Path):
    kept = exported(tmp_path)
    model = dense()
    model.load_weights(tmp_path / "best.weights.h5")
    for mine, theirs in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    model.save_weights(tmp_path / "keras.weights.h5")
    own, other = weights(tmp_path), weights(tmp_path, "keras.weights.h5")
    assert own.keys() == other.keys()
    for name, array in own.items():
        np.testing.assert_array_equal(array, other[name])


def test_a_full_disk_during_the_export_is_an_error_with_advice(tmp_path: Path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            exported(tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "run the same command again" in disk.failure(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_weights_that_read_back_differently_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    serialize = export.serialize

    def damaged(model: keras.Model) -> bytes:
        """What h5py leaves of a file one of whose writes failed: an array is zeros."""
        content = bytes(serialize(model))
        array = np.full(300, 1, np.float32).tobytes()
        assert array in content
        return content.replace(array, bytes(len(array)))

    monkeypatch.setattr(export, "serialize", damaged)
    with pytest.raises(OSError, match="Other weights were read back"):
        exported(tmp_path)


def test_files_of_another_number_of_snapshots_are_removed(tmp_path: Path):
    (tmp_path / "best-of-cycle-2.weights.h5").write_bytes(b"of an earlier run")
    exported(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["best.weights.h5"]
