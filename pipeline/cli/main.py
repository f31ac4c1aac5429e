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
from pipeline.system import disk

COMMANDS: dict[str, Command] = {
    "submissions": commands.list_submissions,
    "show": commands.show_tile,
    "status": commands.print_status,
    "clean": commands.clean_up,
    "experiments": commands.list_experiments,
}
EXIT_USER, EXIT_BUG, EXIT_PIPE = 2, 1, 141
_interrupted = threading.Event()
"""Set once a signal has asked this command to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for an error that the user can fix, 130 when interrupted."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
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
        # Where a signal meets a framework in the middle of its own code, any error may come of it.
        return _error(INTERRUPTED, EXIT_INTERRUPTED) if _interrupted.is_set() else _explained(error)
    return 0


def _explained(error: Exception) -> int:
    """Say in one line what went wrong; returns the exit status."""
    if isinstance(error, UserError):
        return _error(str(error), EXIT_USER)
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has had enough (status | head), which is no error.
        _silence(sys.stdout)
        return EXIT_PIPE
    if told := disk.failure(error):
        return _error(told, EXIT_USER)
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
        _silence(sys.stderr)  # there is nowhere left to say it; the status does
    return status


def _silence(stream: TextIO) -> None:
    """Let a stream lead nowhere: Python would try to write what it holds once more, as its last act."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _flushed(status: int) -> int:
    """Bring what was printed to its end, and see whether it arrived; returns the exit status."""
    for stream in (sys.stderr, sys.stdout):
        if stream is None or stream.closed:  # closed by whoever started us: nobody wants it
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
    """Run the command line as a process of its own, to its end, which nothing interrupts any more."""
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
