"""Kaggle, through its own client: the archive, uploads, and the scores that come back.

Every error becomes one line that says what to do. What the client prints (help, warnings, addresses that carry
signatures) never reaches the user.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import UserError
from pipeline.system import disk
from pipeline.system.progress import Progress, echo

COMPETITION = "tgs-salt-identification-challenge"
PAGE = f"https://www.kaggle.com/competitions/{COMPETITION}"
TOKENS = "https://www.kaggle.com/settings"
WITHOUT_ACCOUNT = "without an account: make demo, or ARCHIVE=path to a zip or folder of the tiles"
PAST_PAGES, PER_PAGE = 10, 100
"""How far back submissions are listed."""
MB = 1_000_000
SILENCE = 60.0
"""Seconds without a byte from Kaggle after which a call ends, unless ``TIMEOUT`` is set."""
TIMEOUT = "PIPELINE_TIMEOUT"
"""Environment variable with other seconds."""
LONGEST_SILENCE = 86_400


class NoCredentialsError(UserError):
    """Nobody has told the client who the user is."""


class _SilenceError(BaseException):
    """Kaggle has sent nothing for too long.

    Not an ``Exception``, because the client retries or swallows those: five times during a download, ten times during
    an upload, and while it is imported.
    """


@dataclass(frozen=True)
class Submission:
    """One past submission, as Kaggle tells it."""

    ref: int
    date: str
    """ISO 8601, to the second, UTC."""
    file: str
    message: str
    status: str
    """``pending``, ``complete`` or ``error``."""
    public: float | None
    private: float | None
    error: str
    """Why Kaggle could not score it."""


def download(folder: Path) -> Path:
    """Download the competition's archive; an interrupted download goes on where it stopped.

    An archive that lies there already is tested, and fetched again where it is damaged.

    Args:
        folder: where the archive goes; made if need be, and gone again if nothing came.

    Returns:
        Path of the zip, whose every member has been read and matches its checksum.

    Raises:
        UserError: no or wrong credentials, rules not accepted, no network, a download that stalls, or an archive that
            arrives damaged twice.
    """
    path = folder / f"{COMPETITION}.zip"
    marker = _marker(path)
    if path.is_file() and not marker.exists():
        if _whole(path):
            return path
        echo(f"download: {path.name} is damaged; fetching it again")
        path.unlink()
    api = client()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for _ in range(2):
            _fetch(api, path)
            if not path.is_file():
                raise UserError(f"Kaggle sent no {path.name}; run the same command again")
            if _whole(path):
                return path
            path.unlink()
            marker.unlink(missing_ok=True)
            echo(f"download: {path.name} arrived damaged")
        raise UserError(f"{path.name} arrived damaged twice and was removed; run the same command again later")
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def upload(path: Path, message: str) -> int:
    """Upload a submission; returns the number under which Kaggle knows it.

    Raises:
        UserError: Kaggle did not take it, with the reason that it gave.
    """
    api = client()
    with _talking("upload"):
        # Quiet, because its bar would mix with ours; it raises nothing where the file did not arrive.
        answer = api.competition_submit(str(path), message, COMPETITION, quiet=True)
    if not answer.ref:
        reason = " ".join(str(answer.message or "no reason given").split())[:200]
        raise UserError(f"Kaggle did not take the submission ({reason}); run the same command again")
    return int(answer.ref)


def past_submissions(longest: float = math.inf) -> list[Submission]:
    """The user's submissions to the competition, the newest first.

    Args:
        longest: seconds without an answer after which a call ends, where that is less than the usual timeout.

    Raises:
        UserError: they cannot be listed.
    """
    api = client(longest)
    found: list[Submission] = []
    for page in range(1, PAST_PAGES + 1):
        with _talking("list of submissions", longest):
            listed = api.competition_submissions(COMPETITION, page_number=page, page_size=PER_PAGE) or []
        found += [_submission(each) for each in listed]
        if len(listed) < PER_PAGE:
            break
    return found


def client(longest: float = math.inf) -> Any:
    """Kaggle's client, signed in with the user's credentials, of whichever kind it knows.

    Args:
        longest: seconds without an answer after which a call ends, where that is less than the usual timeout.

    Raises:
        NoCredentialsError: there are none; the line says how to get them.
        UserError: there are some, but they do not work.
    """
    with _talking("sign-in", longest):
        try:
            # Importing it signs in, too, and prints pages of help where it cannot.
            from kaggle.api.kaggle_api_extended import KaggleApi
            from kagglesdk.kaggle_env import get_access_token_from_env

            api = KaggleApi()
            api.authenticate()
        except SystemExit:
            token, place = get_access_token_from_env()
            if token:
                raise UserError(
                    f"Kaggle does not accept the access token of {place}; make a new one on {TOKENS}"
                ) from None
            if Path(api.config).is_file():
                raise UserError(
                    f"{api.config} holds no username and key; make a new one on {TOKENS} (Create Legacy API Key)"
                ) from None
            raise NoCredentialsError(
                f"no Kaggle credentials: make a token on {TOKENS}, save it as ~/.kaggle/access_token (or set "
                f"KAGGLE_API_TOKEN), and accept the rules on {PAGE}/rules; {WITHOUT_ACCOUNT}"
            ) from None
    api.already_printed_version_warning = True
    return api


def _fetch(api: Any, path: Path) -> None:
    """Let the client download, and draw how far it has come."""
    held = path.stat().st_size // MB if path.is_file() else 0
    echo(f"download: {COMPETITION} from Kaggle" + (f", going on after {held:,} MB" if held else ""))
    with Progress("download", 0, "MB", done=held) as progress, _watching(path, progress), _talking("download"):
        try:
            api.competition_download_files(COMPETITION, path=str(path.parent), quiet=True)
        except ValueError:
            # The client's word for a size that is not the announced one. The archive's own test comes next.
            return


@contextlib.contextmanager
def _watching(path: Path, progress: Progress) -> Iterator[None]:
    """Tell the progress how much of a file has arrived, for as long as the block lasts."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                size = int(json.loads(_marker(path).read_text(encoding="utf-8"))["size"])
                progress(path.stat().st_size // MB, max(size // MB, 1))

    callback = threading.Thread(target=watch, daemon=True)
    callback.start()
    try:
        yield
    finally:
        over.set()
        callback.join()


@contextlib.contextmanager
def _talking(what: str, longest: float = math.inf) -> Iterator[None]:
    """Let the client talk to Kaggle: its words are not passed on, and its errors become one line each.

    Args:
        what: the call, a noun for messages.
        longest: seconds of silence after which a call ends, where that is less than the usual timeout.
    """
    import requests

    seconds = min(_timeout(), longest)
    quiet: contextlib.AbstractContextManager[Any] = contextlib.ExitStack()
    if what != "download":  # which prints nothing, and would silence our own progress
        quiet = contextlib.ExitStack()
        quiet.enter_context(contextlib.redirect_stdout(io.StringIO()))
        quiet.enter_context(contextlib.redirect_stderr(io.StringIO()))
    try:
        with quiet, _time_limit(seconds):
            yield
    except UserError:
        raise
    except _SilenceError:
        again = ": the download goes on where it stopped" if what == "download" else ""
        hint = f" ({TIMEOUT}=SECONDS before it sets how long to wait)" if seconds < longest else ""
        raise UserError(
            f"Kaggle has sent nothing for {seconds:g} s during the {what}; run the same command again{again}{hint}"
        ) from None
    except requests.HTTPError as error:
        raise UserError(_explain(what, error)) from None
    except requests.RequestException as error:
        again = "; the download goes on where it stopped" if what == "download" else ""
        raise UserError(
            f"no connection to Kaggle ({type(error).__name__} during the {what}); check the network and run the same "
            f"command again{again}"
        ) from None
    except OSError:
        raise
    except Exception as error:
        # Not its text: it may hold an address with a signature.
        raise UserError(
            f"Kaggle's client failed during the {what} ({type(error).__name__}); run the same command again, and see "
            f"{PAGE} if that does not help"
        ) from None


def _timeout() -> float:
    """Seconds of silence after which a call ends.

    Raises:
        UserError: the environment variable does not hold a number of seconds.
    """
    text = os.environ.get(TIMEOUT, "").strip()
    if not text:
        return SILENCE
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) <= LONGEST_SILENCE:
            return seconds
    raise UserError(f"{TIMEOUT}={text}: write a number of seconds, more than 0 and at most {LONGEST_SILENCE:,}")


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Give every HTTP call of the client the same connect and read timeout, and no retries after it.

    Most of the client's calls have no timeout and no way to set one, and it makes its sessions and adapters itself,
    some of them while it is imported. All of them send by way of this one method of requests.

    Raises:
        _SilenceError: nothing came for so many seconds, however much came before.
    """
    from requests import PreparedRequest, RequestException, Response
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    send = HTTPAdapter.send

    @contextlib.contextmanager
    def silence() -> Iterator[None]:
        try:
            yield
        except RequestException as error:
            if _is_timeout(error):
                raise _SilenceError from None
            raise

    def limited(self: HTTPAdapter, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        # requests' own default. The client's adapter for uploads repeats a timeout ten times, and waits as long as a
        # server's Retry-After says.
        self.max_retries = Retry(0, read=False)
        # By position the first argument is ``stream``, the second the timeout.
        with silence():
            response = send(self, request, *arguments[:1], **{**options, "timeout": seconds})
        read = response.iter_content

        def iter_content(*arguments: Any, **options: Any) -> Iterator[Any]:
            with silence():
                yield from read(*arguments, **options)

        response.iter_content = iter_content
        return response

    HTTPAdapter.send = limited
    try:
        yield
    finally:
        HTTPAdapter.send = send


def _is_timeout(error: BaseException) -> bool:
    """Whether an exception of requests stands for a timeout, which may be wrapped in others."""
    from requests import Timeout
    from urllib3.exceptions import NewConnectionError
    from urllib3.exceptions import TimeoutError as LibraryTimeout

    # urllib3 calls every failed connection a timeout, also one that is refused at once.
    if isinstance(error, (Timeout, LibraryTimeout, TimeoutError)) and not isinstance(error, NewConnectionError):
        return True
    return any(_is_timeout(each) for each in (*error.args, error.__cause__) if isinstance(each, BaseException))


def _explain(what: str, error: Any) -> str:
    """One line for an HTTP error: what it means here, and what to do."""
    status = error.response.status_code if error.response is not None else 0
    said = _said(error)
    known = {
        401: f"Kaggle does not accept these credentials; make a new token on {TOKENS}",
        403: f"Kaggle refuses the {what}: accept the competition's rules first, on {PAGE}/rules",
        404: f"Kaggle knows no competition {COMPETITION}; see whether {PAGE} is still there",
        429: "Kaggle asks to slow down; wait some minutes and run the same command again",
    }
    if status in known:
        return known[status] + (f" (Kaggle says: {said})" if said and status in (403, 429) else "")
    if 400 <= status < 500:
        return f"Kaggle refuses the {what}: {said or f'status {status}'}; fix that and run the same command again"
    return f"Kaggle has an error of its own (status {status}) during the {what}; run the same command again in a while"


def _said(error: Any) -> str:
    """The reason that Kaggle gave, without the address that the exception's own text would hold."""
    try:
        return " ".join(str(error.response.json()["message"]).split())[:200]
    except (AttributeError, ValueError, KeyError, TypeError):
        return ""


def _submission(each: Any) -> Submission:
    return Submission(
        ref=int(each.ref),
        date=each.date.isoformat(timespec="seconds") if each.date else "",
        file=each.file_name or "",
        message=each.description or "",
        status=each.status.name.lower(),
        public=_score(each.public_score),
        private=_score(each.private_score),
        error=each.error_description or "",
    )


def _score(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _marker(path: Path) -> Path:
    """Where the client notes that a file is not all there yet."""
    return path.with_name(f"{path.name}.kaggle-partial")


def _whole(path: Path) -> bool:
    """Whether a zip is complete; the client itself compares only the size."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        if disk.failure(error):
            raise  # it may be whole, and would be removed
        return False
