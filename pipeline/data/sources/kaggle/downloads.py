"""Download the competition's archive."""

from __future__ import annotations

import contextlib
import json
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.config import UserError
from pipeline.data.sources.kaggle.client import call_kaggle, sign_in
from pipeline.data.sources.kaggle.competition import COMPETITION
from pipeline.system import disk
from pipeline.system.progress import Progress, echo

_MB = 1_000_000


def download(folder: Path) -> Path:
    """Download the competition's archive; an interrupted download resumes where it stopped.

    An archive that is already there is tested, and fetched again where it is damaged.

    Args:
        folder: where the archive goes; created if necessary, and removed again if nothing was downloaded.

    Returns:
        Path of the zip, whose every member has been read and matches its checksum.

    Raises:
        UserError: no or wrong credentials, rules not accepted, no network, a download that stalls, or an archive that
            arrives damaged twice.
    """
    path = folder / f"{COMPETITION}.zip"
    marker = _marker(path)
    if path.is_file() and not marker.exists():
        if _is_complete(path):
            return path
        echo(f"download: {path.name} is damaged; fetching it again")
        path.unlink()
    api = sign_in()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for _ in range(2):
            _fetch(api, path)
            if not path.is_file():
                raise UserError(f"Kaggle sent no {path.name}; run the same command again")
            if _is_complete(path):
                return path
            path.unlink()
            marker.unlink(missing_ok=True)
            echo(f"download: {path.name} arrived damaged")
        raise UserError(f"{path.name} arrived damaged twice and was removed; run the same command again later")
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _fetch(api: Any, path: Path) -> None:
    """Download with the client, and show the progress."""
    present = path.stat().st_size // _MB if path.is_file() else 0
    echo(f"download: {COMPETITION} from Kaggle" + (f", resuming after {present:,} MB" if present else ""))
    with Progress("download", 0, "MB", done=present) as progress, _watching(path, progress), call_kaggle("download"):
        try:
            api.competition_download_files(COMPETITION, path=str(path.parent), quiet=True)
        except ValueError:
            # The client raises it where the size is not the announced one; the caller tests the archive next.
            return


@contextlib.contextmanager
def _watching(path: Path, progress: Progress) -> Iterator[None]:
    """Update the progress with the size of a growing file until the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                size = int(json.loads(_marker(path).read_text(encoding="utf-8"))["size"])
                progress(path.stat().st_size // _MB, max(size // _MB, 1))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _marker(path: Path) -> Path:
    """The client's file beside an incomplete download; it holds the announced size."""
    return path.with_name(f"{path.name}.kaggle-partial")


def _is_complete(path: Path) -> bool:
    """Whether a zip is complete and undamaged; the client itself compares only the size."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        if disk.failure(error):
            raise  # it may be complete, and would be removed
        return False
