"""One-line messages for what the system and ``zipfile`` raise over a file."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator

from pipeline.config import UserError

AGAIN = "get the archive from its source again"


@contextlib.contextmanager
def explaining(name: str) -> Iterator[None]:
    """Turn errors of the system and of ``zipfile`` into a ``UserError`` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{name}: there is no such file or folder; check the path") from None
    except OSError as error:
        if error.errno is None:
            raise UserError(f"{name}: is damaged ({_one_line(error)}); {AGAIN}") from None
        raise UserError(f"{name}: {error.strerror}; check the file, its permissions and the free space") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, OverflowError) as error:
        reason = _one_line(error) or "it ends too early"
        raise UserError(f"{name}: is damaged, cut off, or not a zip ({reason}); {AGAIN}") from None
    except (NotImplementedError, RuntimeError) as error:
        raise UserError(f"{name}: cannot be read ({_one_line(error)}); {AGAIN}") from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
