"""Read and write the tables of neighbours and of sections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import UserError
from pipeline.data import tables
from pipeline.data.mosaic import Pairs
from pipeline.data.sections import Sections
from pipeline.scoring.neighbors import Neighbors
from pipeline.system import disk


def write_pairs(path: Path, ids: Sequence[str], pairs: Mapping[str, Pairs], sections: Sections) -> None:
    """Write a row per pair, the most certain first: ``first,second,axis,ratio,used``.

    Args:
        path: the CSV.
        ids: of the tiles that the pairs index.
        pairs: for each axis.
        sections: assembled from them; ``used`` is 1 for pairs that agree with it.
    """
    names = np.asarray(ids, object)
    rows = [
        pd.DataFrame(
            {
                "first": names[found.first],
                "second": names[found.second],
                "axis": axis,
                "ratio": found.ratio.astype(float).round(4),
                "used": sections.used[axis].astype(int),
            }
        )
        for axis, found in pairs.items()
    ]
    table = pd.concat(rows).sort_values(["ratio", "axis", "first"], kind="stable")
    disk.write(path, table.to_csv(index=False, lineterminator="\n").encode())


def write_sections(path: Path, ids: Sequence[str], sections: Sections) -> None:
    """Write a row per tile, in the order of the ids: ``id,section,row,column``."""
    table = pd.DataFrame({"id": list(ids), "section": sections.section, "row": sections.row, "column": sections.column})
    disk.write(path, table.to_csv(index=False, lineterminator="\n").encode())


def section_of(path: Path, ids: Sequence[str]) -> np.ndarray:
    """Section of some tiles, (n,) int64, in the order of their ids.

    Raises:
        UserError: the file cannot be read, or a tile is not in it.
    """
    with _reading(path):
        table = tables.read(path, dtype={"id": str, "section": np.int64}, keep_default_na=False, encoding="utf-8")
        sections = dict(zip(table["id"], table["section"], strict=True))
        return np.array([sections[each] for each in ids], np.int64)


def labelled_neighbors(path: Path, ids: Sequence[str], labelled: Sequence[str], masks: np.ndarray) -> Neighbors:
    """The labelled tiles directly above and below some tiles, of the pairs that agree with the sections.

    Args:
        path: the CSV of pairs.
        ids: of the tiles.
        labelled: ids of all labelled tiles, m.
        masks: (m, height, width) 0/1, of the labelled tiles, may be memory-mapped.

    Raises:
        UserError: the file cannot be read.
    """
    with _reading(path):
        table = tables.read(path, dtype={"first": str, "second": str}, keep_default_na=False, encoding="utf-8")
        pairs = table[(table["axis"] == "vertical") & (table["used"] == 1)]
        above, below = (
            dict(zip(pairs[a], pairs[b], strict=True)) for a, b in (("second", "first"), ("first", "second"))
        )
    place: dict[str | None, int] = {name: index for index, name in enumerate(labelled)}

    def places(names: Iterable[str | None]) -> np.ndarray:
        return np.array([place.get(name, -1) for name in names], np.int64)

    return Neighbors(places(map(above.get, ids)), places(map(below.get, ids)), places(ids), masks)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Report a table that cannot be read."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        if disk.failure(error):
            raise
        raise UserError(f"{path}: cannot be read ({type(error).__name__}); run the mosaic stage again") from None
