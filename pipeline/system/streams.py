"""Standard streams that the calling process has closed, as a daemon does."""

from __future__ import annotations

import os
import sys


def open_closed() -> None:
    """Open the null device in place of closed standard streams, also for the processes that this one starts.

    Otherwise a file gets the number of such a stream, and what a library prints is written into that file. So it is
    called before anything is opened.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one: those below it are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
