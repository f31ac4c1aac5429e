"""Search an archive for the competition's files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config import UserError
from pipeline.data.files import RAW_FOLDERS, TRAIN_CSV
from pipeline.data.sources.archive import limits
from pipeline.data.sources.archive.errors import AGAIN
from pipeline.data.sources.archive.folders import is_folder, walk
from pipeline.data.sources.archive.members import Member
from pipeline.data.sources.archive.paths import (
    PARTS_OF_COMPETITION,
    SPLIT_FOLDERS,
    Parts,
    folder_of_zip,
    in_other_case,
    locate,
)
from pipeline.data.sources.archive.zips import list_zip, open_zip

Found = dict[str, dict[str, Member]]
"""Part of the competition (``train.csv``, ``train/images``) -> file name -> file."""


@dataclass(frozen=True)
class _Zip:
    """A zip that may be opened."""

    member: Member
    folder: Parts
    """The folder that it stands for."""
    depth: int
    """Zips around it, and itself."""


@dataclass
class _Index:
    """The files found so far."""

    bases: dict[Parts, Found] = field(default_factory=dict)
    zips: list[_Zip] = field(default_factory=list)
    """Not opened yet."""
    other_case: dict[str, str] = field(default_factory=dict)
    """Names in other letters, capital or small, than the competition's -> those of the competition."""
    members: int = 0

    def count(self, more: int, where: str) -> None:
        self.members += more
        if self.members > limits.MAX_MEMBERS:
            raise UserError(f"{where}: more than {limits.MAX_MEMBERS:,} members; this is not the competition's archive")

    def add(self, files: list[tuple[Parts, Member]], depth: int) -> None:
        """Add the files of one folder or zip. A part that another one has given already is not added to."""
        sources: dict[tuple[Parts, str], Parts] = {}
        for path, member in files:
            located = locate(path)
            if located is not None:
                base, part, name = located
                known = self.bases.setdefault(base, {})
                if part in known and sources.get((base, part)) != path[:-1]:
                    continue
                sources[base, part] = path[:-1]
                known.setdefault(part, {}).setdefault(name, member)
            elif (folder := folder_of_zip(path)) is not None:
                self.zips.append(_Zip(member, folder, depth + 1))

    def note_other_case(self, paths: Iterable[Parts]) -> None:
        for path in paths:
            if (found := in_other_case(path)) is not None:
                wanted, name = found
                self.other_case[name] = wanted

    def complete(self) -> Found | None:
        """The files under the shallowest base that has every part; None where no base has."""
        complete = [base for base, parts in self.bases.items() if len(parts) == len(PARTS_OF_COMPETITION)]
        return self.bases[min(complete, key=len)] if complete else None

    def next_zip(self) -> _Zip | None:
        """The next zip to open, outer ones and ``train.zip`` and ``test.zip`` first; None where there are no more."""
        if not self.zips:
            return None
        chosen = min(self.zips, key=lambda each: (each.depth, len(each.folder), each.folder[-1:] not in SPLIT_FOLDERS))
        self.zips.remove(chosen)
        return chosen


def find_files(archive: Path, scratch: Path, opened: ExitStack) -> Found:
    """Find every part of the competition in an archive; zips are opened until one base has all of them.

    Args:
        archive: a zip or a folder.
        scratch: a folder for copies of nested zips.
        opened: closes the zips.

    Raises:
        UserError: the archive is missing, unreadable, damaged, incomplete or unsafe.
    """
    index = _Index()
    if is_folder(archive):
        index.add([(path, Member.on_disk(file)) for path, file in walk(archive)], depth=0)
    else:
        index.zips.append(_Zip(Member.on_disk(archive), (), 1))
    while (found := index.complete()) is None and (nested := index.next_zip()) is not None:
        name = nested.member.name
        if nested.depth > limits.MAX_ZIP_DEPTH:
            raise UserError(f"{name}: zips are nested more than {limits.MAX_ZIP_DEPTH} deep; {AGAIN}")
        opened_zip = open_zip(nested.member, scratch, opened)
        index.count(len(opened_zip.infolist()), name)
        index.add(list_zip(opened_zip, name, nested.folder), nested.depth)
        index.note_other_case((*nested.folder, *member.split("/")) for member in opened_zip.namelist())
    if found is None:
        if is_folder(archive):
            index.note_other_case(path for path, _ in walk(archive, in_other_case))
        raise UserError(_missing(archive, index))
    return found


def _missing(archive: Path, index: _Index) -> str:
    """One line that names what the most complete base lacks."""
    best = max(index.bases.values(), key=len, default={})
    parts = [part for part in PARTS_OF_COMPETITION if part not in best]
    renamed = [
        f"{name} to {wanted}"
        for name, wanted in index.other_case.items()
        if any(f"{part}/".startswith(f"{wanted.removesuffix('.zip')}/") for part in parts)
    ]
    if not best and not renamed:
        names = f"{TRAIN_CSV}, {RAW_FOLDERS[0].split('/')[0]}.zip, ..."
        return f"{archive}: holds none of the competition's files ({names}); name the archive itself"
    named = [f"{part.split('/')[0]}.zip or {part}/*.png" if part in RAW_FOLDERS else part for part in parts]
    lacking = f"{archive}: lacks {', '.join(named)}"
    if renamed:
        return f"{lacking}; rename {', '.join(renamed)}"
    return f"{lacking}; {AGAIN}, or put what is missing beside the rest"
