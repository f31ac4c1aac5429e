"""The command line: ``python -m pipeline STAGE [--dataset D] [--experiment E] [--set train.epochs=5]``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn, TextIO

from pipeline import EXIT_INTERRUPTED, INTERRUPTED
from pipeline.cli import commands
from pipeline.cli.parser import Command, make_parser
from pipeline.config import UserError
from pipeline.system import backends, disk

COMMANDS: dict[str, Command] = {
    "submissions": commands.list_submissions,
    "show": commands.show_tile,
    "status": commands.print_status,
    "clean": commands.clean_up,
    "experiments": commands.list_experiments,
    "settings": commands.list_settings,
}
EXIT_USER, EXIT_BUG, EXIT_PIPE = 2, 1, 141
_interrupted = threading.Event()
"""Set once a signal has asked this command to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for an error that the user can fix, 130 when interrupted."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    backends.select()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _interrupted.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for a command that a shell runs in the background
            signal.signal(number, _interrupt)
    try:
        options = make_parser(commands.run_stage, COMMANDS).parse_args(arguments)
        options.run(options)
    except KeyboardInterrupt:
        return _error(INTERRUPTED, EXIT_INTERRUPTED)
    except Exception as error:
        # A signal that interrupts a framework may surface as any error.
        return _error(INTERRUPTED, EXIT_INTERRUPTED) if _interrupted.is_set() else _explained(error)
    return 0


def _explained(error: Exception) -> int:
    """Print what went wrong in one line; returns the exit status."""
    if isinstance(error, UserError):
        return _error(str(error), EXIT_USER)
    if isinstance(error, BrokenPipeError):
        # The reader of the output has closed it (status | head), which is no error.
        _silence(sys.stdout)
        return EXIT_PIPE
    if reason := disk.failure(error):
        return _error(reason, EXIT_USER)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return _error(f"{place}{error.strerror or error}; fix that and run the same command again", EXIT_USER)
    if os.environ.get("PIPELINE_DEBUG"):
        raise error
    text = " ".join(str(error).split())[:300]
    return _error(
        f"this is a bug: {type(error).__name__}: {text} (PIPELINE_DEBUG=1 shows where; please report it)", EXIT_BUG
    )


def _error(text: str, status: int) -> int:
    try:
        print(f"error: {' '.join(text.split())}", file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)  # nothing more can be printed; the exit status remains
    return status


def _silence(stream: TextIO) -> None:
    """Redirect a stream to the null device: at exit, Python would try again to write what it holds."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _flushed(status: int) -> int:
    """Flush the output and check that it was written; returns the exit status."""
    for stream in (sys.stderr, sys.stdout):
        if stream.closed:  # by a library
            continue
        try:
            stream.flush()
            # Some file systems, NFS among them, report a failed write only when a descriptor is closed.
            os.close(os.dup(stream.fileno()))
        except OSError as error:
            _silence(stream)
            if not status and isinstance(error, BrokenPipeError):
                status = EXIT_PIPE
            elif not status:
                error.filename = "standard output" if stream is sys.stdout else "standard error"
                status = _explained(error)
    return status


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    _interrupted.set()
    raise KeyboardInterrupt


def run() -> NoReturn:
    """Run the command line as the whole process, and end the process with its exit status."""
    try:
        try:
            status = main()
        except SystemExit as ended:  # of --help and --version
            status = int(ended.code or 0)
        status = _flushed(status)
        # What is done is done. Python gives back the signals' default ways when it ends, and a framework takes its time
        # to be gone: a signal in these moments would end in the signal's own status.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        status = _error(INTERRUPTED, EXIT_INTERRUPTED)
    if status == EXIT_INTERRUPTED:
        # Not by way of the interpreter's end, where a framework's threads may see the signal once more.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
