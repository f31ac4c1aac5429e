"""Training batches: the order and the views are a function of (seed, epoch) alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import AugmentSettings, InputSettings, UserError
from pipeline.data.input_transform import InputTransform
from pipeline.training.augment_pool import AugmentPool
from pipeline.training.batches import Batches
from tests.conftest import blobs

FRAME = InputTransform(InputSettings())
pytestmark = pytest.mark.backends


def dealt(
    seed: int = 0, batch: int = 4, indices: np.ndarray | None = None, workers: int = 1, **augment: Any
) -> Batches:
    images, masks = blobs(12)
    chosen = np.arange(10) if indices is None else indices
    return Batches(images, masks, chosen, FRAME, AugmentSettings(**augment), batch, seed, workers)


def everything(batches: Batches) -> np.ndarray:
    return np.concatenate([batches[step][0] for step in range(len(batches))])


def test_shapes_and_the_last_smaller_batch_is_left_out():
    batches = dealt()
    images, targets = batches[0]
    assert len(batches) == 2
    assert images.shape == targets.shape == (4, 112, 112, 1)
    assert images.dtype == targets.dtype == np.float32
    assert set(np.unique(targets)) <= {0.0, 1.0}


def test_the_same_seed_and_epoch_give_the_same_batches_in_whatever_order_they_are_asked_for():
    one, other = dealt(), dealt()
    for batches in (one, other):
        batches.start(3)
    other[1]
    np.testing.assert_array_equal(everything(one), everything(other))
    other.start(0)
    assert not np.array_equal(everything(one), everything(other))
    assert not np.array_equal(everything(dealt(seed=1)), everything(dealt(seed=2)))


def test_every_tile_comes_at_most_once_an_epoch_and_all_come_over_epochs():
    batches = dealt(flip=0, affine=0, grid=0, intensity=0)
    known = {tile.tobytes(): index for index, tile in enumerate(FRAME.to_input(blobs(12)[0]))}
    seen: set[int] = set()
    for epoch in range(8):
        batches.start(epoch)
        found = [known[tile.tobytes()] for tile in everything(batches)]
        assert len(set(found)) == 8
        seen |= set(found)
    assert seen == set(range(10))  # and never the tiles that were not given


def test_other_tiles_take_the_place_of_as_many():
    batches = dealt(flip=0, affine=0, grid=0, intensity=0, batch=5)
    known = {tile.tobytes(): index for index, tile in enumerate(FRAME.to_input(blobs(12)[0]))}
    seen: set[int] = set()
    for epoch in range(8):
        batches.start(epoch, others=np.array([10, 11]))
        found = [known[tile.tobytes()] for tile in everything(batches)]
        assert len(set(found)) == 10
        assert {10, 11} <= set(found)
        seen |= set(found)
    assert seen == set(range(12))


def test_a_tile_is_augmented_anew_in_each_epoch():
    batches = dealt(batch=1, indices=np.array([4]), intensity=1.0)
    first = batches[0][0]
    batches.start(1)
    assert not np.array_equal(first, batches[0][0])
    batches.start(0)
    np.testing.assert_array_equal(first, batches[0][0])


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_prepared_ahead_are_the_same_and_in_their_order(workers: int):
    with closing(dealt(batch=2, workers=workers)) as batches:
        for epoch, weighted in ((0, False), (1, True)):
            wanted = dealt(batch=2)
            wanted.start(epoch, weighted)
            batches.start(epoch, weighted)
            ahead = list(batches.ahead())
            assert len(ahead) == len(wanted)
            for step, found in enumerate(ahead):
                for mine, theirs in zip(found, wanted[step], strict=True):
                    np.testing.assert_array_equal(mine, theirs)


def test_a_pool_reads_memory_mapped_tiles_where_they_lie_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    images, _ = blobs(6)
    copies = tmp_path / "temporary"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    pool = AugmentPool(mapped, mapped[1:], AugmentSettings(flip=0, affine=0, grid=0, intensity=0), 1)
    assert len([path for path in copies.rglob("*") if path.is_file()]) == 1  # a part of a file is not the file
    found = pool.views(np.array([3, 1]), 0, 0)
    np.testing.assert_array_equal(found[0], images[[3, 1]])
    np.testing.assert_array_equal(found[1], images[[4, 2]])
    process = pool._pool.submit(os.getpid).result()
    os.kill(process, signal.SIGKILL)
    with pytest.raises(UserError, match=r"train\.workers") as error:
        pool.views(np.array([0]), 0, 0)
    assert "\n" not in str(error.value)
    pool.close()
    assert not any(copies.iterdir())


KILLED = """
import os, signal, sys
import numpy as np
from pipeline.training.augment_pool import AugmentPool
from pipeline.config import AugmentSettings
if __name__ == "__main__":
    tiles = np.zeros((1, 101, 101), np.uint8)
    pool = AugmentPool(tiles, tiles, AugmentSettings(), 1)
    print(pool._pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_processes_of_a_pool_end_with_the_one_that_trains(tmp_path: Path):
    (tmp_path / "killed.py").write_text(KILLED)
    with (tmp_path / "said").open("w") as said:  # no pipe, which would stay open for as long as a process lives
        subprocess.run(
            [sys.executable, "killed.py"],
            stdout=said,
            stderr=subprocess.DEVNULL,
            timeout=60,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent), "TMPDIR": str(tmp_path)},
        )
    process = int((tmp_path / "said").read_text().split()[0])
    deadline = time.monotonic() + 30
    while Path(f"/proc/{process}").exists():
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            raise AssertionError("it goes on alone")
        time.sleep(0.05)


def test_fewer_tiles_than_a_batch_still_make_a_step():
    assert len(dealt(batch=64)) == 1
    assert dealt(batch=64)[0][0].shape[0] == 10


def test_weights_come_with_the_weighted_border_only():
    batches = dealt()
    assert len(batches[0]) == 2
    batches.start(0, weighted=True)
    batch = batches[0]
    assert len(batch) == 3
    assert batch[2].shape == batch[1].shape[:3]
    assert (batch[2] > 0).all()
