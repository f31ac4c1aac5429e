"""Files are written with every error checked and named."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from pipeline.system import disk


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("content", [b"", b"abc", np.arange(6, dtype=np.int16).reshape(2, 3).data])
def test_a_file_has_the_bytes_that_were_written(
    tmp_path: Path, content: bytes | memoryview, durable: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(disk, "_CHUNK", 5)
    path = tmp_path / "file"
    path.write_bytes(b"something longer from before")
    disk.write(path, content, durable)
    disk.sync(path)
    disk.sync_folder(tmp_path)
    assert path.read_bytes() == bytes(content)


def test_an_error_without_a_file_name_gets_one(tmp_path: Path):
    for name in (None, "other"):
        with pytest.raises(OSError, match="no") as caught, disk.naming(tmp_path):
            raise OSError(errno.EIO, "no", name)
        assert caught.value.filename == (name or str(tmp_path))


def test_only_errors_of_the_disk_are_failures():
    assert disk.is_failure(OSError(errno.ENOSPC, ""))
    assert not disk.is_failure(FileNotFoundError(errno.ENOENT, ""))
    assert disk.failure(OSError(errno.ENOSPC, "No space left on device", "a")).startswith(
        "No space left on device: a; free some"
    )
    assert disk.failure(ValueError("no number")) == ""
