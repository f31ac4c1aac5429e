"""Tiles from a local archive: Kaggle's zip, or a folder that holds the same files, zipped or unpacked.

The competition ships nested zips in one of two arrangements
(https://www.kaggle.com/competitions/tgs-salt-identification-challenge/data): ``train.csv``, ``depths.csv``,
``sample_submission.csv``, ``train.zip`` and ``test.zip`` side by side, or all of that under ``competition_data``,
zipped or as a folder. Members are found by what they are, not by where they lie: a zip counts as a folder of the same
name, and the first folder under which everything is present wins. What nobody asked for is ignored.

An archive is a stranger's file, so nothing in it is trusted: not its paths, not its sizes, not its links.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from pipeline.config import UserError
from pipeline.data.files import RAW_FILES, RAW_FOLDERS
from pipeline.data.tables import MAX_BYTES
from pipeline.system import disk

MAX_TILE = 2**20
"""Largest PNG in bytes; a competition tile has some 10 to 20 KiB."""
MAX_CSV = MAX_BYTES
"""Largest table in bytes."""
MAX_ZIP = 4 * 2**30
"""Largest nested zip in bytes."""
MAX_TOTAL = 4 * 2**30
"""Most bytes that are unpacked in all; the competition has some 250 MiB."""
MAX_MEMBERS = 200_000
"""Most members, over all zips that are opened, or files and folders in a folder."""
MAX_DEPTH = 3
"""Zips inside zips: the archive, ``competition_data.zip`` in it, ``train.zip`` in that."""

_MAX_DIRECTORY = 32 * 2**20
_FOLDER_DEPTH = 6
_CHUNK = 2**20
_TILE_NAME = re.compile(r"[A-Za-z0-9_-]+\.png")
_PARTS = (*RAW_FILES, *RAW_FOLDERS)
_SPLIT_ENDS = (("train",), ("test",))
_WHOLE = re.compile(r"competition_data|tgs-salt-identification-challenge( ?\(\d+\))?")  # a browser numbers downloads
_AGAIN = "download the competition's archive again"

Parts = tuple[str, ...]


@dataclass(frozen=True)
class _Member:
    """A file to be read, on disk or in a zip."""

    name: str
    """As messages call it, for example ``train.zip/images/x.png``."""
    opener: Callable[[], IO[bytes]]
    path: Path | None = None
    """Where it lies on disk; None for what is inside a zip."""

    @classmethod
    def on_disk(cls, path: Path) -> _Member:
        return cls(str(path), partial(io.FileIO, path), path)

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        with _explained(self.name), self.opener() as stream:
            yield stream


@dataclass(frozen=True)
class _Nested:
    """A zip that may be opened for what is in it."""

    member: _Member
    parts: Parts
    """The folder that it stands for."""
    depth: int
    """How many zips it lies in, and itself."""


@dataclass
class _Index:
    """What was found so far: base folder -> part (``train.csv``, ``train/images``) -> file name -> member."""

    bases: dict[Parts, dict[str, dict[str, _Member]]] = field(default_factory=dict)
    nested: list[_Nested] = field(default_factory=list)
    members: int = 0

    def count(self, more: int, where: str) -> None:
        self.members += more
        if self.members > MAX_MEMBERS:
            raise UserError(f"{where}: more than {MAX_MEMBERS:,} members; this is not the competition's archive")

    def add(self, found: list[tuple[Parts, _Member]], depth: int) -> None:
        """Take in the files of one container; what another one brought before stays."""
        here: dict[tuple[Parts, str], Parts] = {}
        for parts, member in found:
            placed = _place(parts)
            if placed is not None:
                base, part, name = placed
                known = self.bases.setdefault(base, {})
                if part in known and here.get((base, part)) != parts[:-1]:
                    continue
                here[base, part] = parts[:-1]
                known.setdefault(part, {}).setdefault(name, member)
            elif (stands_for := _zip_folder(parts)) is not None:
                self.nested.append(_Nested(member, stands_for, depth + 1))

    def complete(self) -> dict[str, dict[str, _Member]] | None:
        """The parts under the shallowest base that has them all."""
        whole = [base for base, parts in self.bases.items() if len(parts) == len(_PARTS)]
        return self.bases[min(whole, key=len)] if whole else None

    def next_zip(self) -> _Nested | None:
        """The next zip worth opening, the outer ones and the splits first; None where there is no more."""
        if not self.nested:
            return None
        chosen = min(self.nested, key=lambda each: (each.depth, len(each.parts), each.parts[-1:] not in _SPLIT_ENDS))
        self.nested.remove(chosen)
        return chosen


class _Reader(io.BufferedReader):
    """A file that refuses the one huge read with which ``zipfile`` would load a hostile list of members."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_DIRECTORY:
            raise zipfile.BadZipFile("its list of members is too long")
        return super().read(size)


def unpack(archive: Path, folder: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """Write the competition's files from a zip or a folder in the layout that the other stages read.

    That is ``train.csv``, ``depths.csv``, ``sample_submission.csv``, ``train/images/ID.png``, ``train/masks/ID.png``
    and ``test/images/ID.png``. The checksum of everything that is taken from a zip is tested.

    Args:
        archive: a zip, or a folder with the same members, zipped, unpacked or mixed; it is only read.
        folder: an empty folder of the caller's; after an error it holds a part of the files.
        progress: called with (files written, files in all).

    Returns:
        Where the table of labelled tiles lay: a folder may hold the competition's files more than once, and then the
        ones that lie least deep are taken.

    Raises:
        UserError: the archive is missing, unreadable, damaged, incomplete, or unsafe to unpack.
    """
    with ExitStack() as opened:
        parts = _find(archive, folder, opened)
        _check_tiles(archive, parts)
        for each in RAW_FOLDERS:
            (folder / each).mkdir(parents=True, exist_ok=True)
        work = [(folder / part, parts[part][part], MAX_CSV) for part in RAW_FILES]
        for part in RAW_FOLDERS:
            work += [(folder / part / name, member, MAX_TILE) for name, member in parts[part].items()]
        written = 0
        for done, (target, member, limit) in enumerate(work, start=1):
            content = io.BytesIO()
            with member.open() as source:
                written += _copy(source, content, member.name, min(limit, MAX_TOTAL - written))
            # Waiting for the disk after each of 22,000 small files takes minutes; what it loses of them later is found
            # by the hash in the manifest.
            disk.write(target, content.getbuffer(), durable=target.suffix == ".csv")
            if progress is not None and (done % 64 == 0 or done == len(work)):
                progress(done, len(work))
        return parts["train.csv"]["train.csv"].name


def fingerprint(archive: Path) -> dict[str, Any]:
    """What a source holds, for a manifest.

    Returns:
        Of a zip ``kind``, ``name``, ``bytes`` and the ``sha256`` of its content; of a folder ``kind``, ``name`` and a
        ``sha256`` over the relative names and sizes of the files that ``unpack`` would look at.

    Raises:
        UserError: the archive is missing or unreadable.
    """
    if _is_folder(archive):
        whole = hashlib.sha256()
        with _explained(str(archive)):
            for name, path in sorted(("/".join(parts), path) for parts, path in _walk(archive) if _relevant(parts)):
                whole.update(f"{name}\0{path.stat().st_size}\0".encode(errors="surrogateescape"))
            return {"kind": "folder", "name": archive.resolve().name, "sha256": whole.hexdigest()}
    with _explained(str(archive)), archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"kind": "zip", "name": archive.name, "bytes": os.fstat(stream.fileno()).st_size, "sha256": digest}


def quick_identity(archive: Path) -> dict[str, Any]:
    """A glance that tells whether a source may have changed, without reading its content.

    Returns:
        ``path`` (resolved), ``bytes`` and ``mtime_ns``. Of a folder, the size is that of its tables and zips and the
        time is the latest of these and of its folders: tiles that were added or removed show, but not one that was
        overwritten in place.

    Raises:
        UserError: the archive is missing or unreadable.
    """
    with _explained(str(archive)):
        found = archive.stat()
        size, changed = found.st_size, found.st_mtime_ns
        if _is_folder(archive):
            size, folders = 0, {archive}
            for parts, path in _walk(archive):
                folders.add(path.parent)
                if _relevant(parts) and not parts[-1].lower().endswith(".png"):
                    status = path.stat()
                    size, changed = size + status.st_size, max(changed, status.st_mtime_ns)
            changed = max(changed, *(each.stat().st_mtime_ns for each in folders))
        return {"path": str(archive.resolve()), "bytes": size, "mtime_ns": changed}


def _find(archive: Path, folder: Path, opened: ExitStack) -> dict[str, dict[str, _Member]]:
    """Open zips until one base has every part; they stay open in ``opened``."""
    index = _Index()
    if _is_folder(archive):
        index.add([(parts, _Member.on_disk(path)) for parts, path in _walk(archive)], depth=0)
    else:
        index.nested.append(_Nested(_Member.on_disk(archive), (), 1))
    while (parts_found := index.complete()) is None and (nested := index.next_zip()) is not None:
        if nested.depth > MAX_DEPTH:
            raise UserError(f"{nested.member.name}: zips are nested more than {MAX_DEPTH} deep; {_AGAIN}")
        index.add(_list_zip(nested, index, folder, opened), nested.depth)
    if parts_found is None:
        raise UserError(_missing(archive, index))
    return parts_found


def _list_zip(nested: _Nested, index: _Index, folder: Path, opened: ExitStack) -> list[tuple[Parts, _Member]]:
    """The files in a zip, after every path in it was found safe."""
    name = nested.member.name
    with _explained(name):
        stream: IO[bytes]
        if nested.member.path is not None:
            stream = opened.enter_context(_Reader(io.FileIO(nested.member.path)))
        else:
            stream = opened.enter_context(_spool(nested.member, folder.parent))
        archive = opened.enter_context(zipfile.ZipFile(stream))
    index.count(len(archive.infolist()), name)
    seen: dict[str, zipfile.ZipInfo] = {}
    found = []
    for info in archive.infolist():
        parts = _safe_parts(info, name)
        if info.is_dir():
            continue
        twin = seen.setdefault(info.filename, info)
        if twin is not info:
            if (twin.CRC, twin.file_size) != (info.CRC, info.file_size):
                raise UserError(f"{name}: {info.filename!r} is in it twice with different content; {_AGAIN}")
            continue
        whole = nested.parts + parts
        if _relevant(whole):
            shown = f"{name}/{info.filename}"
            if info.flag_bits & 0x1:
                raise UserError(f"{shown}: is encrypted; unpack it with its password and name the folder instead")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # The other methods of the standard library expand a chunk without a bound.
                raise UserError(f"{shown}: compression method {info.compress_type} is not supported; {_AGAIN}")
            found.append((whole, _Member(shown, partial(archive.open, info))))
    return found


def _spool(member: _Member, folder: Path) -> _Reader:
    """A nested zip as a file of its own: reading it in place would seek through its parent, over and over."""
    import tempfile

    with member.open() as source, _explained(str(folder)):
        # Unnamed where the system can, so that nothing is left behind if this process is killed.
        raw = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - handed on
        try:
            _copy(source, raw, member.name, MAX_ZIP)
            raw.seek(0)
        except BaseException:
            raw.close()
            raise
    return _Reader(raw)


def _copy(source: IO[bytes], sink: IO[bytes] | io.FileIO, name: str, limit: int) -> int:
    """Copy to the end, which tests the checksum of a zip's member, but never more than ``limit`` bytes."""
    copied = 0
    while True:
        with _explained(name):
            # Headers may lie about sizes, so the bytes themselves are counted.
            chunk = source.read(min(_CHUNK, limit - copied + 1))
        if not chunk:
            return copied
        copied += len(chunk)
        if copied > limit:
            raise UserError(f"{name}: unpacks to more than {limit:,} bytes; this is not the competition's archive")
        if sink.write(chunk) != len(chunk):
            # An unbuffered file takes what there is room for.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _safe_parts(info: zipfile.ZipInfo, where: str) -> Parts:
    """A member's path, in parts.

    Raises:
        UserError: it could lead out of the folder, or the member is no plain file or folder.
    """
    name = info.orig_filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if (
        not parts
        or name.startswith("/")
        or ".." in parts
        or "\\" in name
        or ":" in parts[0]
        or any(ord(character) < 32 for character in name)
    ):
        raise UserError(f"{where}: the path {name!r} in it is unsafe; {_AGAIN}")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a symbolic link" if kind == stat.S_IFLNK else "a special file"
        raise UserError(f"{where}: {name!r} in it is {what}, which is unsafe; {_AGAIN}")
    return parts


def _place(parts: Parts) -> tuple[Parts, str, str] | None:
    """Base folder, part and file name of a file of the competition; None of any other file.

    ``train/images/x.png`` and ``train/train/images/x.png`` (``train.zip`` with a folder of its own) have one base.
    """
    *above, name = parts
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return None
    if name in RAW_FILES:
        return tuple(above), name, name
    if name.lower().endswith(".png") and len(above) >= 2:
        part = "/".join(above[-2:])
        if part in RAW_FOLDERS:
            *rest, split, _ = above
            while rest and rest[-1] == split:
                rest.pop()
            return tuple(rest), part, name
    return None


def _zip_folder(parts: Parts) -> Parts | None:
    """The folder that a zip of the competition stands for; None of any other file."""
    stem, dot, suffix = parts[-1].rpartition(".")
    if dot and suffix.lower() == "zip" and not any(part.startswith(".") or part == "__MACOSX" for part in parts):
        if stem in RAW_FILES:
            return parts[:-1]
        if (stem,) in _SPLIT_ENDS or _WHOLE.fullmatch(stem):
            return (*parts[:-1], stem)
    return None


def _relevant(parts: Parts) -> bool:
    return _place(parts) is not None or _zip_folder(parts) is not None


def _is_folder(archive: Path) -> bool:
    with _explained(str(archive)):
        kind = archive.stat().st_mode
        if not stat.S_ISDIR(kind) and not stat.S_ISREG(kind):
            raise UserError(f"{archive}: is neither a zip nor a folder; name the competition's archive")
        return stat.S_ISDIR(kind)


def _walk(archive: Path) -> Iterator[tuple[Parts, Path]]:
    """The files below a folder, in order of their names, each with its relative path in parts."""
    root = archive.resolve()
    count = 0

    def below(folder: Path, parts: Parts, above: frozenset[tuple[int, int]]) -> Iterator[tuple[Parts, Path]]:
        nonlocal count
        with _explained(str(folder)):
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            if here in above:  # a link to a folder that it lies in
                return
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
            count += len(entries)
            if count > MAX_MEMBERS:
                raise UserError(f"{archive}: holds more than {MAX_MEMBERS:,} files; name the archive's own folder")
            for entry in entries:
                whole = (*parts, entry.name)
                is_folder = entry.is_dir()
                if entry.name.startswith(".") or not (is_folder or _relevant(whole)):
                    continue
                path = folder / entry.name
                if entry.is_symlink() and not path.resolve().is_relative_to(root):
                    raise UserError(f"{path}: this link leads outside of the folder; put the real files there")
                if is_folder and len(whole) < _FOLDER_DEPTH:
                    yield from below(path, whole, above | {here})
                elif entry.is_file():
                    yield whole, path

    yield from below(root, (), frozenset())


def _check_tiles(archive: Path, parts: dict[str, dict[str, _Member]]) -> None:
    """Refuse tile names that are not plain, and training images and masks that do not pair.

    Raises:
        UserError: as above; the first tiles are named.
    """
    for part in RAW_FOLDERS:
        strange = [repr(name) for name in parts[part] if not _TILE_NAME.fullmatch(name)]
        if strange:
            raise UserError(f"{archive}: {part} holds {_few(strange)}, which is no tile's name; remove it")
        folded = {name.casefold(): name for name in parts[part]}
        if len(folded) < len(parts[part]):
            alike = [name for name in parts[part] if folded[name.casefold()] != name]
            raise UserError(f"{archive}: {part} holds {_few(alike)} twice, in capital and small letters; remove one")
    images, masks = parts["train/images"], parts["train/masks"]
    for one, other, names in (
        ("images", "masks", sorted(images.keys() - masks.keys())),
        ("masks", "images", sorted(masks.keys() - images.keys())),
    ):
        if names:
            raise UserError(f"{archive}: train/{other} lacks {_few(names)}, which train/{one} holds; {_AGAIN}")


def _missing(archive: Path, index: _Index) -> str:
    """One line that names what the most complete arrangement lacks."""
    best = max(index.bases.values(), key=len, default={})
    if not best:
        return f"{archive}: holds none of the competition's files (train.csv, train.zip, ...); name the archive itself"
    zipped = {"train/images": "train.zip or ", "train/masks": "train.zip or ", "test/images": "test.zip or "}
    lacking = [f"{zipped[part]}{part}/*.png" if part in zipped else part for part in _PARTS if part not in best]
    return f"{archive}: lacks {', '.join(lacking)}; {_AGAIN}, or put what is missing beside the rest"


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the system and ``zipfile`` raise over a file into one line about it."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{name}: there is no such file or folder; check the path") from None
    except OSError as error:
        if error.errno is None:
            raise UserError(f"{name}: is damaged ({_line(error)}); {_AGAIN}") from None
        raise UserError(f"{name}: {error.strerror}; check the file, its permissions and the free space") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, OverflowError) as error:
        reason = _line(error) or "it ends too early"
        raise UserError(f"{name}: is damaged, cut off, or not a zip ({reason}); {_AGAIN}") from None
    except (NotImplementedError, RuntimeError) as error:
        raise UserError(f"{name}: cannot be read ({_line(error)}); {_AGAIN}") from None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
