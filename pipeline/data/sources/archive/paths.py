"""Recognise the competition's files by their paths."""

from __future__ import annotations

import re

from pipeline.data.files import RAW_FILES, RAW_FOLDERS

Parts = tuple[str, ...]
"""A path, in parts."""
PARTS_OF_COMPETITION = (*RAW_FILES, *RAW_FOLDERS)
SPLIT_FOLDERS = tuple(dict.fromkeys(tuple(part.split("/")[:1]) for part in RAW_FOLDERS))
"""Ends of the paths of the outermost folders of tiles, which may be zips: ``train`` and ``test``."""

_LONGEST_FIRST = sorted(RAW_FOLDERS, key=lambda part: -part.count("/"))
"""So that ``images`` as a part does not take the files of the part ``test/images``."""
_SPELLING = {word.casefold(): word for name in PARTS_OF_COMPETITION for word in name.split("/")}
_WHOLE = re.compile(r"competition_data|tgs-salt-identification-challenge( ?\(\d+\))?")  # a browser numbers downloads


def locate(path: Parts) -> tuple[Parts, str, str] | None:
    """Base folder, part and file name of a file of the competition; None for any other file.

    ``train/images/x.png`` and ``train/train/images/x.png`` (``train.zip`` with a folder of the same name inside) have
    one base.
    """
    *above, name = path
    if _is_hidden(path):
        return None
    if name in RAW_FILES:
        return tuple(above), name, name
    if name.lower().endswith(".png"):
        for part in _LONGEST_FIRST:
            folders = part.split("/")
            if above[-len(folders) :] == folders:
                rest = above[: -len(folders)]
                while rest and rest[-1] == folders[0]:
                    rest.pop()
                return tuple(rest), part, name
    return None


def folder_of_zip(path: Parts) -> Parts | None:
    """The folder that a zip of the competition stands for; None for any other file."""
    stem, dot, suffix = path[-1].rpartition(".")
    if dot and suffix.lower() == "zip" and not _is_hidden(path):
        if stem in RAW_FILES:
            return path[:-1]
        if (stem,) in SPLIT_FOLDERS or _WHOLE.fullmatch(stem):
            return (*path[:-1], stem)
    return None


def is_relevant(path: Parts) -> bool:
    """Whether a file is one of the competition's, or a zip of them."""
    return locate(path) is not None or folder_of_zip(path) is not None


def in_other_case(path: Parts) -> tuple[str, str] | None:
    """A name of the competition, and how a path spells it in other letters, capital or small; None for any other path.

    For example ``train.csv`` and ``Train.csv``, ``train/images`` and ``Train/images``, ``train.zip`` and ``Train.zip``.
    """
    *above, name = path
    stem, dot, suffix = name.rpartition(".")
    last = f"{_spelled(stem)}.{suffix}" if dot and suffix.lower() == "zip" else _spelled(name)
    wanted = (*map(_spelled, above), last)
    if wanted == path or is_relevant(path):
        return None
    if (located := locate(wanted)) is not None:
        _, part, _ = located
        return part, name if part in RAW_FILES else "/".join(above[-len(part.split("/")) :])
    return (last, name) if folder_of_zip(wanted) is not None else None


def _spelled(word: str) -> str:
    return _SPELLING.get(word.casefold(), word)


def _is_hidden(path: Parts) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path)
