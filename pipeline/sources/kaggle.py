"""Kaggle, through its own client."""

from __future__ import annotations

import contextlib
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

from pipeline.config import UserError

COMPETITION = "tgs-salt-identification-challenge"
PAGE = f"https://www.kaggle.com/competitions/{COMPETITION}"
WITHOUT_ACCOUNT = "without an account: make demo, or ARCHIVE=path to a zip or folder of the tiles"


def download(folder: Path) -> Path:
    """Download the competition's archive; an interrupted download goes on where it stopped.

    Args:
        folder: where the archive goes; made if need be.

    Returns:
        Path of the zip, whose every member has been read and matches its checksum.

    Raises:
        UserError: no or wrong credentials, rules not accepted, no network, or a damaged archive (which is removed, so
            that the next call fetches it again).
    """
    path = folder / f"{COMPETITION}.zip"
    if path.is_file() and _whole(path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    api = client()
    import requests

    try:
        api.competition_download_files(
            COMPETITION, path=str(folder), force=path.exists(), quiet=not sys.stderr.isatty()
        )
    except requests.HTTPError as fault:
        raise UserError(_explain(fault)) from None
    except requests.RequestException as fault:
        name = type(fault).__name__
        raise UserError(
            f"no connection to Kaggle ({name}); check the network and run the same command again: "
            "the download goes on where it stopped"
        ) from None
    except ValueError as fault:
        raise UserError(f"Kaggle's client refused: {' '.join(str(fault).split())[:200]}") from None
    if not path.is_file():
        raise UserError(f"Kaggle sent no {path.name}; run the same command again")
    if not _whole(path):
        path.unlink()
        raise UserError(f"{path.name} arrived damaged and was removed; run the same command again")
    return path


def client() -> Any:
    """Kaggle's client, with the user's credentials.

    Raises:
        UserError: there are none; the line says how to get them.
    """
    # The package looks for credentials when it is imported, prints pages of help where it finds none, and may exit.
    heard = io.StringIO()
    try:
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            from kaggle.api.kaggle_api_extended import KaggleApi

            api = KaggleApi()
            api.authenticate()
    except (SystemExit, OSError, ValueError):
        raise UserError(
            "no Kaggle credentials: make a token on https://www.kaggle.com/settings and save it as "
            f"~/.kaggle/kaggle.json or in KAGGLE_API_TOKEN, then accept the rules on {PAGE}/rules; {WITHOUT_ACCOUNT}"
        ) from None
    return api


def _whole(path: Path) -> bool:
    """Whether a zip is complete; the client itself compares only the size."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError):
        return False


def _explain(fault: Any) -> str:
    status = fault.response.status_code if fault.response is not None else 0
    known = {
        401: "Kaggle does not accept these credentials; make a new token on https://www.kaggle.com/settings",
        403: f"Kaggle refuses the download; accept the competition's rules first: {PAGE}/rules",
        404: f"Kaggle knows no competition {COMPETITION}; update the client (pip install -U kaggle)",
        429: "Kaggle asks to slow down; wait some minutes and run the same command again",
    }
    return known.get(status, f"Kaggle answered with status {status}; run the same command again in a while")
