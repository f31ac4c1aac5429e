"""Get the competition's files: from Kaggle, from an archive on disk, or from the built-in survey."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.artifacts import Artifact, Layout, results
from pipeline.config import UserError, stored
from pipeline.config.added import tile_size
from pipeline.config.datasets import DEFAULT_DATASET, Source, dataset
from pipeline.data.files import RAW_FILES, RAW_FOLDERS, SOLUTION
from pipeline.stages.stage import Context, Stage
from pipeline.system.progress import Progress, echo


def artifact(layout: Layout) -> Artifact:
    """The competition's files as downloaded, with the tiles unpacked."""
    synthetic = dataset(layout.dataset).source is Source.SURVEY
    return Artifact(
        name="download",
        stage="download",
        folder=layout.raw_folder,
        manifest_name="manifest.json",
        outputs=RAW_FILES + RAW_FOLDERS,
        extras=(SOLUTION,) if synthetic else (),
        settings={"survey": stored(layout.settings.survey), **tile_size()} if synthetic else {},
        result=results.Downloaded,
        lock_wait=3600.0,
    )


def make(context: Context) -> None:
    """Fill ``data/<dataset>/raw``."""
    if dataset(context.layout.dataset).source is Source.SURVEY:
        _survey(context)
    else:
        _unpack(context)


def _survey(context: Context) -> None:
    from pipeline.data.sources.synthetic import write_survey

    raw, survey, started = artifact(context.layout), context.layout.settings.survey, time.monotonic()
    with artifacts.replacing(raw) as folder:
        with Progress("survey", survey.train + survey.test, "tiles") as progress:
            write_survey(folder, survey, progress)
        artifacts.commit(raw, {"source": {"kind": "survey"}}, started, at=folder)
    echo(f"survey: {survey.train:,} labelled and {survey.test:,} test tiles in {raw.folder}")


def _unpack(context: Context) -> None:
    from pipeline.data.sources import archive as source

    raw, archive, started = artifact(context.layout), context.archive, time.monotonic()
    if archive is None:
        from pipeline.data.sources import kaggle

        artifacts.check_links(context.layout.download_folder)
        archive = kaggle.download(context.layout.download_folder)
    with artifacts.replacing(raw) as folder:
        with Progress("unpack", 1, "files") as progress:
            table = source.unpack(archive, folder, progress)
        result: dict[str, Any] = {"source": source.fingerprint(archive), "seen": source.quick_identity(archive)}
        artifacts.commit(raw, result, started, at=folder)
    inside = f" ({table})" if archive.is_dir() else ""
    echo(f"download: tiles from {archive}{inside} are in {raw.folder}")


def check(context: Context) -> None:
    """Refuse a command whose tiles have no source, or another source than those that are there.

    Raises:
        UserError: the archive does not exist, was named for the built-in survey, or is not the one that the dataset
            was made from; or the dataset is not Kaggle's and no archive was named.
    """
    name = context.layout.dataset
    done = context.freshness.state(artifact(context.layout)).done
    if context.archive is not None:
        _check_archive(context, context.archive, done)
    elif not done and dataset(name).source is Source.ARCHIVE:
        raise UserError(
            f"there are no tiles for the dataset {name!r} yet: name a zip or folder, "
            f"for example make download DATASET={name} ARCHIVE=tiles.zip"
        )


def _check_archive(context: Context, archive: Path, done: bool) -> None:
    from pipeline.data.sources import archive as source

    name = context.layout.dataset
    if dataset(name).source is Source.SURVEY:
        raise UserError(
            f"the dataset {name!r} is the built-in survey; for the competition's archive use "
            f"DATASET={DEFAULT_DATASET.name}, for one of your own another name, for example DATASET=mine"
        )
    identity = source.quick_identity(archive)
    result = context.manifest(artifact(context.layout)).result if done else {}
    # Reading the whole archive again is only needed where size and time do not tell.
    if not done or result.get("seen") == identity:
        return
    known, now = result.get("source", {}), source.fingerprint(archive)
    content = now.get("content")
    # An older manifest of a folder has no hash over the bytes of its files.
    if known.get("sha256") != now.get("sha256") or known.get("content", content) != content:
        if result.get("seen", {}).get("path") == identity["path"]:
            raise UserError(
                f"{archive} has changed since the dataset {name!r} was made from it: "
                f"make clean-download DATASET={name}, then this command again"
            )
        raise UserError(
            f"the dataset {name!r} was made from {known.get('name')}, and {archive} is another archive; "
            f"give it another name (DATASET=other), or remove the old one (make clean-download DATASET={name})"
        )


STAGE = Stage(
    name="download",
    help="get the tiles: from Kaggle, from an archive, or from the built-in survey",
    artifacts=lambda context: [artifact(context.layout)],
    make=make,
    check=check,
    shared=True,
    owns_folder=True,
    leftovers=lambda context: [context.layout.download_folder],
)
