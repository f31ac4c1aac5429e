"""A timeout for every HTTP call of Kaggle's client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from pipeline.config import UserError

TIMEOUT = "PIPELINE_TIMEOUT"
"""Environment variable: seconds without a byte from Kaggle after which a call ends."""
DEFAULT_TIMEOUT = 60.0
LONGEST_TIMEOUT = 86_400


class SilenceError(BaseException):
    """Kaggle has sent nothing for longer than the timeout.

    Not an ``Exception``, because the client retries or swallows those: five times during a download, ten times during
    an upload, and while it is imported.
    """


def timeout_setting() -> float:
    """The timeout in seconds: that of the environment, or the default.

    Raises:
        UserError: the environment variable is not a valid number of seconds.
    """
    text = os.environ.get(TIMEOUT, "").strip()
    if not text:
        return DEFAULT_TIMEOUT
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) <= LONGEST_TIMEOUT:
            return seconds
    raise UserError(f"{TIMEOUT}={text}: write a number of seconds, more than 0 and at most {LONGEST_TIMEOUT:,}")


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Give every HTTP call within the block the same connect and read timeout, and no retries after it.

    Most calls of Kaggle's client have no timeout and no way to set one, and the client makes its sessions and adapters
    itself, some of them while it is imported. All of them send through the one method of requests that is replaced.

    Raises:
        SilenceError: nothing arrived for so many seconds, however much arrived before.
    """
    from requests import PreparedRequest, RequestException, Response
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    send = HTTPAdapter.send

    @contextlib.contextmanager
    def timeouts_as_silence() -> Iterator[None]:
        try:
            yield
        except RequestException as error:
            if _is_timeout(error):
                raise SilenceError from None
            raise

    def limited_send(self: HTTPAdapter, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        # requests' own default. The client's adapter for uploads repeats a timeout ten times, and waits as long as a
        # server's Retry-After says.
        self.max_retries = Retry(0, read=False)
        # By position the first argument is ``stream``, the second the timeout.
        with timeouts_as_silence():
            response = send(self, request, *arguments[:1], **{**options, "timeout": seconds})
        read = response.iter_content

        def iter_content(*arguments: Any, **options: Any) -> Iterator[Any]:
            with timeouts_as_silence():
                yield from read(*arguments, **options)

        response.iter_content = iter_content
        return response

    HTTPAdapter.send = limited_send
    try:
        yield
    finally:
        HTTPAdapter.send = send


def _is_timeout(error: BaseException) -> bool:
    """Whether an exception of requests is, or wraps, a timeout."""
    from requests import Timeout
    from urllib3.exceptions import NewConnectionError
    from urllib3.exceptions import TimeoutError as LibraryTimeout

    # urllib3 calls every failed connection a timeout, also one that is refused at once.
    if isinstance(error, (Timeout, LibraryTimeout, TimeoutError)) and not isinstance(error, NewConnectionError):
        return True
    return any(_is_timeout(each) for each in (*error.args, error.__cause__) if isinstance(each, BaseException))
