"""Sign in with Kaggle's client, and call it: quietly, with a timeout, and with one line for each error."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.config import UserError
from pipeline.data.sources.kaggle.competition import PAGE, TOKENS
from pipeline.data.sources.kaggle.messages import explain_http_error, is_temporary
from pipeline.data.sources.kaggle.timeouts import TIMEOUT, SilenceError, time_limit, timeout_setting

_WITHOUT_ACCOUNT = "without an account: make demo, or ARCHIVE=path to a zip or folder of the tiles"


class NoCredentialsError(UserError):
    """The client finds no credentials."""


class UnreachableError(UserError):
    """Kaggle does not answer, or not now; the same call may succeed later."""


def sign_in(longest: float = math.inf) -> Any:
    """Kaggle's client, signed in with the user's credentials of any kind that it knows.

    Args:
        longest: seconds without an answer after which a call ends, where that is less than the usual timeout.

    Raises:
        NoCredentialsError: there are none; the line says how to get them.
        UserError: there are some, but they do not work.
    """
    with call_kaggle("sign-in", longest):
        try:
            # Importing it signs in, too, and prints pages of help where it cannot.
            from kaggle.api.kaggle_api_extended import KaggleApi
            from kagglesdk.kaggle_env import get_access_token_from_env

            api = KaggleApi()
            api.authenticate()
        except UnicodeDecodeError:
            raise UserError(
                f"the token in ~/.kaggle (access_token or kaggle.json) is not plain text; save it again from {TOKENS}"
            ) from None
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
                f"KAGGLE_API_TOKEN), and accept the rules on {PAGE}/rules; {_WITHOUT_ACCOUNT}"
            ) from None
    api.already_printed_version_warning = True
    return api


@contextlib.contextmanager
def call_kaggle(
    call: str, longest: float = math.inf, explain: Callable[[str, Any], str] = explain_http_error
) -> Iterator[None]:
    """Call the client within the block: what it prints is dropped, and each of its errors becomes one line.

    Args:
        call: what is called, a noun for messages.
        longest: seconds without an answer after which the call ends, where that is less than the usual timeout.
        explain: returns one line for an HTTP error, from ``call`` and the ``requests.HTTPError``.

    Raises:
        UnreachableError: there is no connection, the timeout has passed, or the server is overloaded or fails.
        UserError: the call failed for another reason.
    """
    import requests

    seconds = min(timeout_setting(), longest)
    again = "; the download resumes where it stopped" if call == "download" else ""
    quiet = contextlib.ExitStack()
    if call != "download":  # which prints nothing itself; its progress bar must stay visible
        quiet.enter_context(contextlib.redirect_stdout(io.StringIO()))
        quiet.enter_context(contextlib.redirect_stderr(io.StringIO()))
    try:
        with quiet, time_limit(seconds):
            yield
    except UserError:
        raise
    except SilenceError:
        hint = f" ({TIMEOUT}=SECONDS before it sets how long to wait)" if seconds < longest else ""
        raise UnreachableError(
            f"Kaggle has sent nothing for {seconds:g} s during the {call}; run the same command again{again}{hint}"
        ) from None
    except requests.HTTPError as error:
        raise (UnreachableError if is_temporary(error) else UserError)(explain(call, error)) from None
    except requests.RequestException as error:
        raise UnreachableError(
            f"no connection to Kaggle ({type(error).__name__} during the {call}); check the network and run the same "
            f"command again{again}"
        ) from None
    except OSError:
        raise
    except Exception as error:
        # Without its text, which may contain an address with a signature.
        raise UserError(
            f"Kaggle's client failed during the {call} ({type(error).__name__}); run the same command again, and see "
            f"{PAGE} if that does not help"
        ) from None
