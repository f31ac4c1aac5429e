"""The CSV that Kaggle accepts: how it is written and checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import UserError
from pipeline.data import rle
from pipeline.submission import csv_file
from tests.conftest import blobs
from tests.tile_size import with_tile

IDS = [f"tile{index}" for index in range(9)]


@pytest.fixture
def masks() -> np.ndarray:
    return blobs(9)[1] > 0


def written(path: Path, masks: np.ndarray) -> Path:
    csv_file.write(path, IDS, iter([masks[:5], masks[5:]]))
    return path


def test_a_written_file_passes_the_check(tmp_path: Path, masks: np.ndarray):
    path = written(tmp_path / "s.csv", masks)
    assert csv_file.check(path, IDS, iter([masks])) == 6
    lines = path.read_text().splitlines()
    assert lines == ["id,rle_mask", *(f"{name},{text}" for name, text in zip(IDS, rle.encode(masks), strict=True))]
    assert lines[1] == "tile0,"


def test_a_csv_is_checked_a_chunk_of_masks_at_a_time(tmp_path: Path, masks: np.ndarray):
    path = written(tmp_path / "s.csv", masks)
    chunks = [masks[:2], masks[2:3], masks[3:]]
    assert csv_file.check(path, IDS, iter(chunks)) == 6
    for wrong in range(9):
        other = masks.copy()
        other[wrong, 50, 50] ^= True
        with pytest.raises(UserError, match=f"s.csv: tile tile{wrong} does not decode to its predicted mask"):
            csv_file.check(path, IDS, iter([other[:2], other[2:3], other[3:]]))
    with pytest.raises(UserError, match="9 rows for 8 predicted masks"):
        csv_file.check(path, IDS, iter([masks[:8]]))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lines: ["id,mask", *lines[1:]], "first line"),
        (lambda lines: [*lines[:1], lines[2], lines[1], *lines[3:]], "row 1"),
        (lambda lines: lines[:-1], "rows are missing"),
        (lambda lines: [*lines, "tile9,"], "10 rows"),
        (lambda lines: [*lines[:2], "tile1,1 0", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "tile1,5 3 1 2", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "tile1,10201 2", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "tile1,1 5", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "tile1", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], f"{lines[2]},1", *lines[3:]], "tile1"),
        (lambda lines: [*lines[:2], "", *lines[2:]], "10 rows"),
        (lambda lines: [], "first line"),
    ],
)
def test_every_error_is_found(tmp_path: Path, masks: np.ndarray, edit, message: str):
    path = written(tmp_path / "s.csv", masks)
    path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")
    with pytest.raises(UserError, match=message):
        csv_file.check(path, IDS, iter([masks]))


def test_the_longest_encoding_of_a_large_tile_is_checked(tmp_path: Path):
    code = (
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from pipeline.submission import csv_file\n"
        "masks = np.indices((512, 512)).sum(axis=0)[None] % 2 == 1\n"
        "path = Path(sys.argv[1], 'submission.csv')\n"
        "csv_file.write(path, ['a'], iter([masks]))\n"
        "print(csv_file.check(path, ['a'], iter([masks])))"
    )
    assert with_tile(512, code, tmp_path) == "1"
