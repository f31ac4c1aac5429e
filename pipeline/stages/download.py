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
        if context.archive is not None:
            raise UserError(
                "the dataset 'demo' is the built-in survey; for an archive of your own use another name, "
                "for example DATASET=tgs"
            )
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
        if layout.dataset != "tgs":
            raise UserError(
                f"there are no tiles for the dataset {layout.dataset!r} yet: name a zip or folder, "
                f"for example make download DATASET={layout.dataset} ARCHIVE=tiles.zip"
            )
        from pipeline.data.sources import kaggle

        archive = kaggle.download(layout.download_folder)
    with artifacts.replacing(artifact) as folder:
        with Progress("unpack", 1, "files") as progress:
            table = source.unpack(archive, folder, progress)
        found: dict[str, Any] = {"source": source.fingerprint(archive), "seen": source.quick_identity(archive)}
        artifacts.commit(artifact, found, started, at=folder)
    inside = f" ({table})" if archive.is_dir() else ""
    echo(f"download: tiles from {archive}{inside} are in {artifact.folder}")


def check_archive(context: Context, archive: Path) -> None:
    """Refuse another archive than the one that the dataset was made from, before anything made from it is lost."""
    from pipeline.data.sources import archive as source

    manifest = context.freshness.manifest(context.layout.raw)
    if manifest is None or context.layout.dataset == "demo":
        return
    # Reading the whole archive again is only needed where a glance cannot tell.
    if manifest.result.get("seen") == source.quick_identity(archive):
        return
    found, known = source.fingerprint(archive), manifest.result.get("source", {})
    if found.get("sha256") != known.get("sha256"):
        name = context.layout.dataset
        raise UserError(
            f"the dataset {name!r} was made from {known.get('name')}, and {archive} is another archive; "
            f"give it a name of its own (DATASET=other), or remove the old one (make clean-download DATASET={name})"
        )
