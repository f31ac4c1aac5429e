"""Read CSV tables whose size is checked before pandas parses them.

pandas has no limits: a header of a million commas takes minutes and gigabytes. The competition's largest
table has 18,000 rows and four columns at most, and its longest field is the run-length encoding of one tile. The sizes
below grow with the area of a tile of another size (``TILE``).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.config import TILE, UserError

if TYPE_CHECKING:
    import pandas as pd

AREA = max(1.0, TILE**2 / 101**2)
"""Area of a tile as a multiple of the competition's."""
MAX_BYTES = int(64 * 2**20 * AREA)
"""Largest table in bytes; the competition's largest has under 1 MiB."""
MAX_ROWS = 200_000
"""Most rows without the header; the competition has 22,000 tiles."""
MAX_COLUMNS = 32
"""Most fields of a line; the competition's tables have two."""
MAX_FIELD = int(2**16 * AREA)
"""Longest field in characters; the longest run-length encoding of a tile, every other pixel, has some 40,000."""
MAX_LINE = 2 * MAX_FIELD
"""Longest line in characters."""


def check(path: Path) -> None:
    """Read a table line by line, in bounded memory, and check it against the limits above.

    Args:
        path: a CSV in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: the table has more bytes, rows or columns, or longer lines or fields than the limits, a quoted field
            spans lines, or it is not UTF-8.
        OSError: the file cannot be read.
    """
    allow_long_fields()
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


def allow_long_fields() -> None:
    """Let the module ``csv`` read every line within the limits: its own limit is 131,072 characters of a field."""
    csv.field_size_limit(MAX_LINE)


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


def require_unique_ids(table: pd.DataFrame, where: str) -> None:
    """Check that each tile has one row.

    Args:
        table: with the column ``id``.
        where: name of the table for the message.

    Raises:
        UserError: an id is listed more than once.
    """
    repeated = table["id"][table["id"].duplicated()]
    if len(repeated):
        raise UserError(f"{where}: tile {repeated.iloc[0]} is listed more than once; keep one row for each tile")


class _Lines:
    """Lines of a stream for ``csv.reader``, each of limited length and each a complete record.

    A record that spans lines could make a header of any length, so a line is only returned once the reader has
    returned the record of the line before.
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
