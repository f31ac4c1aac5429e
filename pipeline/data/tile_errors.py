"""Errors of single tiles, collected so that one run reports all of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.config import UserError

THEN = "then make clean-download with the same DATASET, and this command again"
"""What follows the correction of a downloaded file at its source."""

_NAMED = 3


class TileErrors:
    """What is wrong with which tile."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        """(id, what is wrong with the tile), in the order of ``add``."""

    def add(self, tile: str, error: str) -> None:
        self.found.append((tile, error))

    def raise_if_any(self, where: Path) -> None:
        """Raise one line that names the first tiles and counts the rest.

        Raises:
            UserError: there is an error.
        """
        if not self.found:
            return
        named = "; ".join(f"{printable(tile)}: {error}" for tile, error in self.found[:_NAMED])
        more = len(self.found) - _NAMED
        rest = f"; and {more:,} more" if more > 0 else ""
        raise UserError(f"{where}: {named}{rest} - correct these files at their source; {THEN}")


def other_spellings(missing: Iterable[str], present: Iterable[str]) -> list[str]:
    """For each id that is missing, one that is present and differs only in a suffix ``.png`` and zeros in front.

    Spreadsheets drop the zeros. The text is empty where there is no such id.
    """
    names = {_bare(name): name for name in present}
    return [names.get(_bare(tile), "") for tile in missing]


def _bare(tile: str) -> str:
    return tile.lower().removesuffix(".png").lstrip("0")


def printable(text: str) -> str:
    """A text from a downloaded file as it fits into one line of a message."""
    cut = text if len(text) <= 40 else f"{text[:40]}..."
    return cut if cut.isprintable() and cut.strip() else ascii(cut)
