"""CSV tables, bounded before pandas sees them.

pandas parses whatever it is given: a header of a million commas costs minutes and gigabytes. The competition's largest
table has 18,000 rows and four columns at most, and its longest field is the run-length encoding of one tile.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 64 * 2**20
"""Largest table in bytes; the competition's largest has under 1 MiB."""
MAX_ROWS = 200_000
"""Most lines without the header; the competition has 22,000 tiles."""
MAX_COLUMNS = 32
"""Most fields of a line; the competition's tables have two."""
MAX_FIELD = 2**16
"""Longest field in characters; the longest run-length encoding of a tile, every other pixel, has some 40,000."""
MAX_LINE = 2 * MAX_FIELD
"""Longest line in characters."""


def check(path: Path) -> None:
    """Read a table line by line, in bounded memory, and refuse what no table of tiles has.

    Args:
        path: a CSV in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: the table has more bytes, rows, columns, or longer lines or fields than the bounds above, a quoted
            field spans lines, or it is not UTF-8.
        OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        lines = _Lines(stream)
        try:
            for row in csv.reader(lines):
                lines.parsed = True
                if len(row) > MAX_COLUMNS:
                    raise ValueError(f"line {lines.count} has {len(row):,} fields, more than {MAX_COLUMNS}")
                if any(len(field) > MAX_FIELD for field in row):
                    raise ValueError(f"line {lines.count} has a field of more than {MAX_FIELD:,} characters")
        except csv.Error as error:
            raise ValueError(f"line {lines.count}: {error}") from None


def read(path: Path, **options: Any) -> pd.DataFrame:
    """``pandas.read_csv`` of a table that ``check`` accepts.

    Args:
        path: a CSV.
        **options: of ``pandas.read_csv``.

    Raises:
        ValueError: as ``check`` and pandas' parser.
        OSError: the file cannot be read.
    """
    import pandas as pd

    check(path)
    return pd.read_csv(path, **options)


class _Lines:
    """Lines of a stream for ``csv.reader``, each bounded and each a record of its own.

    A record that spans lines would let a header grow without a bound, so the next line is only given out once the
    reader has returned the one before.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.count = 0
        self.parsed = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.parsed:
            raise ValueError(f"line {self.count} has a quote that is not closed")
        line = self._stream.readline(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.count += 1
        self.parsed = False
        if len(line) > MAX_LINE:
            raise ValueError(f"line {self.count} has more than {MAX_LINE:,} characters")
        if self.count > MAX_ROWS + 1:
            raise ValueError(f"it has more than {MAX_ROWS:,} rows")
        return line
