"""The TOML files of the experiments that are part of the package."""

from __future__ import annotations

import re
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import Any

from pipeline.config.errors import UserError
from pipeline.config.messages import nearest

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"
"""The folder of the TOML files; ``ladder/`` in it has the ablations."""
DEFAULT_EXPERIMENT = "unet"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def experiment_names() -> list[str]:
    """Names of the experiments that a user chooses from, sorted; without those of the ladder."""
    return sorted(filter(_NAME.fullmatch, _stems(EXPERIMENTS)))


def all_experiment_names() -> list[str]:
    """Names of all experiments, including those of the ladder, sorted."""
    return sorted(filter(_NAME.fullmatch, {*_stems(EXPERIMENTS), *_stems(EXPERIMENTS / "ladder")}))


def _stems(folder: Path) -> list[str]:
    """Names of the TOML files in a folder, also those that no experiment can have."""
    return [path.stem for path in folder.glob("*.toml") if path.is_file()]


def experiment_path(experiment: str) -> Path:
    """The TOML file of an experiment, whether it exists or not; the name does not include the folder ``ladder``."""
    ladder = EXPERIMENTS / "ladder" / f"{experiment}.toml"
    return ladder if ladder.is_file() else EXPERIMENTS / f"{experiment}.toml"


def description(experiment: str) -> str:
    """What an experiment shows: the comment in the first line of its file; empty where there is none."""
    text = _text(experiment_path(experiment), errors="replace")
    first = text.lstrip().partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def header(experiment: str) -> str:
    """The comment at the top of an experiment's file, in one line: what it shows, its command, what was measured."""
    lines = _text(experiment_path(experiment), errors="replace").strip().splitlines()
    return " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))


def lineage(experiment: str) -> list[tuple[Path, dict[str, Any]]]:
    """The files of an experiment, of its base, of the base's base and so on, and the settings in each.

    Raises:
        UserError: a file is missing or not valid TOML, or the bases form a circle.
    """
    found: dict[Path, dict[str, Any]] = {}
    name: Any = experiment
    while name is not None:
        path, tree = _read(name, named_by=list(found)[-1] if found else None)
        if path in found:
            raise UserError(f"{path}: base = {name!r} leads back to the experiment itself; remove it")
        name = tree.pop("base", None)
        if name is not None and not isinstance(name, str):
            raise UserError(f'{path}: base = {name!r}: write the name of an experiment, such as base = "unet"')
        found[path] = tree
    return list(found.items())


def _text(path: Path, errors: str = "strict") -> str:
    """Content of a file, without the byte order mark that some editors write."""
    return path.read_text(encoding="utf-8-sig", errors=errors)


def _read(experiment: str, named_by: Path | None) -> tuple[Path, dict[str, Any]]:
    """An experiment's file and its content; ``named_by`` is the file whose base it is."""
    where = f"{named_by}: base = {experiment!r}: " if named_by else ""
    if not _NAME.fullmatch(experiment):
        stem = experiment.rsplit("/", 1)[-1].removesuffix(".toml")
        hint = f"; write {stem}" if stem != experiment and stem in all_experiment_names() else ""
        if experiment in _stems(EXPERIMENTS):
            hint = f"; rename the file {EXPERIMENTS / experiment}.toml"
        raise UserError(f"{where}experiment {experiment!r}: a name is made of letters, digits, '-' and '_'{hint}")
    path = experiment_path(experiment)
    if not path.is_file():
        raise UserError(
            f"{where}there is no experiment {experiment!r}{nearest(experiment, all_experiment_names())}; "
            f"there are: {', '.join(experiment_names())} (to add one, write pipeline/experiments/{experiment}.toml)"
        )
    try:
        return path, tomllib.loads(_text(path))
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, an extreme number or nesting
        raise UserError(f"{path}: not valid TOML: {error}") from None
