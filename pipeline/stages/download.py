"""Get the competition's files: from Kaggle, from an archive on disk, or from the built-in survey."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.config import UserError
from pipeline.stages import Context
from pipeline.system.progress import Progress, echo


def run(context: Context) -> None:
    """Fill ``data/<dataset>/raw``."""
    layout, artifact = context.layout, context.layout.raw
    started = time.monotonic()
    if layout.dataset == "demo":
        from pipeline.data.sources.synthetic import write_survey

        with artifacts.replacing(artifact) as folder:
            survey = layout.settings.survey
            with Progress("survey", survey.train + survey.test, "tiles") as progress:
                write_survey(folder, survey, progress)
            artifacts.commit(artifact, {"source": {"kind": "survey"}}, started, at=folder)
        echo(f"survey: {survey.train:,} labelled and {survey.test:,} test tiles in {artifact.folder}")
        return

    from pipeline.data.sources import archive as source

    archive = context.archive
    if archive is None:
        from pipeline.data.sources import kaggle

        archive = kaggle.download(layout.download_folder)
    with artifacts.replacing(artifact) as folder:
        with Progress("unpack", 1, "files") as progress:
            table = source.unpack(archive, folder, progress)
        found: dict[str, Any] = {"source": source.fingerprint(archive), "seen": source.quick_identity(archive)}
        artifacts.commit(artifact, found, started, at=folder)
    inside = f" ({table})" if archive.is_dir() else ""
    echo(f"download: tiles from {archive}{inside} are in {artifact.folder}")


def check_source(context: Context) -> None:
    """Refuse a command that names no source of tiles; nothing is written for it, not even a lock."""
    name = context.layout.dataset
    if name not in ("demo", "tgs") and context.archive is None:
        raise UserError(
            f"there are no tiles for the dataset {name!r} yet: name a zip or folder, "
            f"for example make download DATASET={name} ARCHIVE=tiles.zip"
        )


def check_archive(context: Context, archive: Path) -> None:
    """Refuse an archive that the dataset cannot be made from, before anything is made or lost.

    Args:
        context: of the command.
        archive: the zip or folder that the user named.

    Raises:
        UserError: the dataset is the built-in survey, there is no such file, or the dataset was made from another one.
    """
    from pipeline.data.sources import archive as source

    if context.layout.dataset == "demo":
        raise UserError(
            "the dataset 'demo' is the built-in survey; for an archive of your own use another name, "
            "for example DATASET=tgs"
        )
    identity = source.quick_identity(archive)
    raw = context.layout.raw
    manifest = context.freshness.manifest(raw) if context.freshness.state(raw).done else None
    # Reading the whole archive again is only needed where a glance cannot tell.
    if manifest is None or manifest.result.get("seen") == identity:
        return
    found, known = source.fingerprint(archive), manifest.result.get("source", {})
    if found.get("sha256") != known.get("sha256"):
        name = context.layout.dataset
        raise UserError(
            f"the dataset {name!r} was made from {known.get('name')}, and {archive} is another archive; "
            f"give it a name of its own (DATASET=other), or remove the old one (make clean-download DATASET={name})"
        )
