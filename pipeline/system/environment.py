"""The project's virtual environment: created and updated by make, locked by the commands that run from it.

``python pipeline/system/environment.py VENV STAMP LOCK PYTHON`` installs a lock file's packages into an environment.
Packages are installed in place, so that packages that the user added are kept; only a missing or broken environment is
created again. A command that runs from an environment holds a shared lock on the file ``VENV.lock`` beside it, and an
update an exclusive one, so that no update replaces packages that a running training has not imported yet.

Uses only the standard library and no other module of the package: make runs this file before there is an environment.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system; make does not create an environment there either
    fcntl = None  # type: ignore[assignment]

SUPPORTED = ((3, 11), (3, 13))
"""First and last version of Python that the project supports."""
_PROBE = f"import sys, pip; sys.exit(not {SUPPORTED[0]} <= sys.version_info[:2] <= {SUPPORTED[1]})"


def hold() -> None:
    """Lock the environment that this process runs from against updates until the process ends.

    Waits, and prints a line, while the environment is being updated. Does nothing outside of a virtual environment, and
    in one that make did not create.
    """
    if fcntl is None or sys.prefix == sys.base_prefix:
        return
    try:
        # Never closed: the lock lasts as long as the process.
        descriptor = os.open(_lock_path(Path(sys.prefix)), os.O_RDONLY)
    except OSError:
        return
    if not _locked(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB):
        _print(f"waiting: {sys.prefix} is being updated")
        _locked(descriptor, fcntl.LOCK_SH)


def is_from_make() -> bool:
    """Whether this process runs from the environment ``.venv`` that make has created in the current folder."""
    return Path(sys.prefix) == Path(".venv").absolute() and _lock_path(Path(sys.prefix)).exists()


def option(name: str, value: str) -> str:
    """An option as the user types it: ``FOLDS=0`` or ``SET="..."`` where make is used, otherwise ``--folds 0``.

    Args:
        name: of the option, in lower case.
        value: without characters that a shell would replace.
    """
    if not is_from_make():
        return f"--{name} {value}"
    return f'SET="{value}"' if name == "set" else f"{name.upper()}={value}"


def install(venv: Path, stamp: Path, lock: Path, python: str) -> int:
    """Bring an environment up to date with a lock file.

    While commands run from the environment, it is not updated: with an older version of the packages it is used as it
    is, with a warning; otherwise the update waits for the commands to end.

    Args:
        venv: the environment's folder.
        stamp: a file in it that records the lock file's hash.
        lock: requirements with hashes.
        python: the interpreter that creates a new environment; empty where there is none.

    Returns:
        The exit status: 0, or 2 after an error message.
    """
    content = hashlib.sha256(lock.read_bytes()).hexdigest()
    if _installed(venv, stamp, content):
        stamp.touch()
        return 0
    # Beside the environment, so that it remains when the environment is created again.
    descriptor = os.open(_lock_path(venv), os.O_RDWR | os.O_CREAT, 0o666)
    if not _locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
        if stamp.exists() and _works(venv):
            _print(
                f"warning: a command runs from {venv}, so it is not updated from {lock} now; this command uses the "
                "installed packages, and the first command after that one has ended updates them"
            )
            return 0
        _print(f"waiting: a command runs from {venv}, which is updated from {lock} as soon as that command ends")
        _locked(descriptor, fcntl.LOCK_EX)
        if _installed(venv, stamp, content):
            stamp.touch()
            return 0
    if _works(venv):
        _print(f"updating {venv} from {lock}")
    else:
        if not python:
            _print(f"error: {venv} does not work, and there is no Python 3.11, 3.12 or 3.13 to create it; install one")
            return 2
        _print(f"setting up {venv} (only the first time, takes minutes)")
        if subprocess.run([python, "-m", "venv", "--clear", venv]).returncode:
            _print(f"error: {python} cannot create an environment; on Debian: apt install python3-venv")
            return 2
    pip: list[str | Path] = [_python(venv), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock]
    if subprocess.run(pip).returncode:
        _print(f"error: {lock} cannot be installed into {venv}; see pip's message above, then run the command again")
        return 2
    stamp.write_text(f"{content}\n")
    return 0


def _installed(venv: Path, stamp: Path, content: str) -> bool:
    return stamp.is_file() and stamp.read_text().strip() == content and _works(venv)


def _works(venv: Path) -> bool:
    """Whether an environment has a supported Python and pip."""
    try:
        return subprocess.run([_python(venv), "-c", _PROBE], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def _python(venv: Path) -> Path:
    return venv.absolute() / "bin" / "python"


def _lock_path(venv: Path) -> Path:
    return venv.with_name(f"{venv.name}.lock")


def _locked(descriptor: int, kind: int) -> bool:
    """Lock a file; False where another process has locked it. On a file system without locks, always True."""
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    venv, stamp, lock, python = arguments
    try:
        return install(Path(venv), Path(stamp), Path(lock), python)
    except OSError as error:
        _print(f"error: {error.filename or venv}: {error.strerror or error}")
        return 2
    except KeyboardInterrupt:
        _print("error: interrupted; run the same command to continue")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
