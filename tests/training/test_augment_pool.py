"""Processes that augment tiles: where they read tiles from, and that they end with the training process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import AugmentSettings, UserError
from pipeline.training.augment_pool import AugmentPool
from tests.conftest import blobs


def test_a_pool_reads_memory_mapped_tiles_from_their_file_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    images, _ = blobs(6)
    copies = tmp_path / "temporary"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    pool = AugmentPool(mapped, mapped[1:], AugmentSettings(flip=0, affine=0, grid=0, intensity=0), 1)
    assert len([path for path in copies.rglob("*") if path.is_file()]) == 1  # only a part of a file is copied
    found = pool.augment_rows(np.array([3, 1]), 0, 0)
    np.testing.assert_array_equal(found[0], images[[3, 1]])
    np.testing.assert_array_equal(found[1], images[[4, 2]])
    process = pool._pool.submit(os.getpid).result()
    os.kill(process, signal.SIGKILL)
    with pytest.raises(UserError, match=r"train\.workers") as error:
        pool.augment_rows(np.array([0]), 0, 0)
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


def test_the_processes_end_when_the_training_process_is_killed(tmp_path: Path):
    (tmp_path / "killed.py").write_text(KILLED)
    with (tmp_path / "printed").open("w") as printed:  # a pipe would stay open as long as a process lives
        subprocess.run(
            [sys.executable, "killed.py"],
            stdout=printed,
            stderr=subprocess.DEVNULL,
            timeout=60,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent.parent), "TMPDIR": str(tmp_path)},
        )
    process = int((tmp_path / "printed").read_text().split()[0])
    deadline = time.monotonic() + 30
    while Path(f"/proc/{process}").exists():
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            raise AssertionError("the process is still running")
        time.sleep(0.05)
